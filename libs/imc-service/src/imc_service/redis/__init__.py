"""Connections to Redis, and what their errors mean."""
