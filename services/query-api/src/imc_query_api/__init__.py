"""Answers the queries of history, groups and notices from the database. Two layers: http, queries."""
