"""The quota of sends. The append script decides; what it decided is remembered here."""
