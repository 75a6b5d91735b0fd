"""Copies the logs into the database: read, apply, acknowledge; take over, put aside, trim."""
