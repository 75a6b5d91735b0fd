"""Gateways on the client, in each language, under faults, and as a whole chat."""
