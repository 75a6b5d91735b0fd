"""Checks manifests, alerts and the compose file against the code of the processes."""
