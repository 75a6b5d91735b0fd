"""Benchmarks of HTTP calls."""
