"""The Pub/Sub connection to Redis of this node."""
