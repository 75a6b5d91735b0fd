"""Serving HTTP: the application, the process that runs it, and what guards it."""
