"""Following the log of each app, and writing it to the gateways of that app."""
