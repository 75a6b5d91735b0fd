"""The log of each app: its one writer, and what of it can be looked up by id."""
