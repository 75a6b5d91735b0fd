"""The four commands, one use case a module."""
