"""Rows and curves of the push path: from the log to the gateways."""
