"""Measures IMC beside its peers: loads, rows of the table of goals, curves, pictures."""
