"""Faults that a soak test injects into an installation. Each lasts a moment and is then undone."""
