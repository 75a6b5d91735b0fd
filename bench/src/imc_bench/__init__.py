"""Benchmarks of IMC and its peers: load generators, rows of the table of goals, curves, charts."""
