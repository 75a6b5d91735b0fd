"""Clients in other languages, against a running installation."""
