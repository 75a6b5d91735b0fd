"""Lists, replays and drops dead letters, by hand."""
