"""Traces of messages through all processes, by OpenTelemetry. Off unless a collector is named."""
