"""What every process needs around its work. Knows the envelope, and nothing of messages."""
