"""The commands under ``/v1/commands``."""
