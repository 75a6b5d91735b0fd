#!lua flags=no-writes,allow-cross-slot-keys
-- Tells which apps of shards have entries that the database lacks.
--
-- One script for all shards of a master: asked one by one, they would cost as much when nothing happens.
--
-- KEYS  1 any of the keys, so that the right master is asked
-- ARGV  1 most apps of a shard, then the pending keys of the shards
-- Result: ms of Redis' clock, then for each app: app, ms of its oldest such entry

local time = redis.call('TIME')
local found = { time[1] * 1000 + math.floor(time[2] / 1000) }
-- Mostly nothing waits, which one command tells. A cluster refuses it: its keys are in several slots.
if redis.pcall('EXISTS', unpack(ARGV, 2)) == 0 then
  return found
end
for at = 2, #ARGV do
  -- A shard that is moving to another master is left out: what its reply tells is an error.
  for _, part in ipairs(redis.pcall('ZRANGE', ARGV[at], 0, ARGV[1] - 1, 'WITHSCORES')) do
    found[#found + 1] = part
  end
end
return found
