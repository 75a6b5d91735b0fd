"""Follows the log of each app, and delivers it to the gateways of that app."""
