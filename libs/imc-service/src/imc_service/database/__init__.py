"""Connections to the database, and what their errors mean."""
