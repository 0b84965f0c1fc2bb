"""The rules of the case file: pure, one module per noun, tables before functions."""
