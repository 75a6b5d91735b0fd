"""Real servers, processes and clients for tests. Never deployed."""
