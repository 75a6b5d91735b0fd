"""Holds the WebSockets of gateways and pushes each app's log to them."""
