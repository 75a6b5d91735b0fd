#!lua flags=allow-oom
-- Prolongs the lease of a projector, and tells which projectors there are.
--
-- KEYS  1 projectors
-- ARGV  1 projector, 2 ms of the lease, 3 1 if it is the only one whatever others say
-- Result: the projectors whose leases have not ended

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3] == '1' and '+inf' or now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
