"""The log's events as rows of the database: written so that order and repetition do not matter."""
