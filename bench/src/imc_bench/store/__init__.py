"""Benchmarks of the database."""
