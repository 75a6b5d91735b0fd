"""What apps cost a whole installation: every process, Redis and the database together."""
