"""Real servers and real processes for the tests: never part of what is deployed."""
