"""The bodies that come in and go out, one module per noun; every field going out has its class."""
