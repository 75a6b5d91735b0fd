"""The query side: reads the database, never writes."""
