"""The WebSocket of a gateway: its frames, its limits, and its end."""
