"""Which database answers a query: the replica while it is known to be fresh enough, else the primary."""
