"""Unique ids without a central counter: Snowflakes, and the leases that keep two processes apart."""
