-- Renews a push-node's lease, or gives it up, and tells which nodes have one.
--
-- By the time of Redis, so that nodes need not agree on theirs.
--
-- KEYS  1 sorted set: address of a node -> end of its lease
-- ARGV  1 own address, or '' if gateways are not to be pinned here, 2 ms of lease, or 0 to give it up
-- Result: the addresses of all nodes that have a lease

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own, lease = ARGV[1], tonumber(ARGV[2])

if own ~= '' and lease > 0 then
  redis.call('ZADD', KEYS[1], now + lease, own)
elseif own ~= '' then
  redis.call('ZREM', KEYS[1], own)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
