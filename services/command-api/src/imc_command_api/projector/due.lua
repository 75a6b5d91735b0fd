#!lua flags=no-writes,allow-cross-slot-keys
-- Tells which apps of shards are due for upkeep.
--
-- KEYS  1 any of the keys, so that the right master is asked
-- ARGV  1 most apps of a shard, then the apps keys of the shards
-- Result: the apps

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for at = 2, #ARGV do
  -- A shard that is moving to another master is left out: what its reply tells is an error.
  for _, app in ipairs(redis.pcall('ZRANGEBYSCORE', ARGV[at], '-inf', now, 'LIMIT', 0, ARGV[1])) do
    found[#found + 1] = app
  end
end
return found
