"""Rows and curves of the database."""
