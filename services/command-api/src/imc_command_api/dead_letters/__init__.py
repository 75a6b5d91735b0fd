"""Log entries that could not be projected: looked at, tried again, or dropped by hand."""
