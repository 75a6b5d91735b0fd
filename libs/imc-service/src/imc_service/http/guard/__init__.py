"""What stands between the network and a service: limits of time, size and number, and origins."""
