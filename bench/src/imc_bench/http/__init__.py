"""Rows and curves of the calls over HTTP."""
