"""Benchmarks of pushes, from the log to the gateways."""
