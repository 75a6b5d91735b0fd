"""The rules of messages and notices as pure functions."""
