"""Every read, starting from what the caller may see."""
