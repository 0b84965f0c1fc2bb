"""What goes in and out over HTTP; every field that leaves has its data class."""
