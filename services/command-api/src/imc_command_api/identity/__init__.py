"""Makes unique ids without a central counter: Snowflakes under leased worker numbers."""
