"""Bodies in and out. Everything here is of the caller's own organisation: ids, codes, links."""
