#!lua flags=no-writes,allow-cross-slot-keys
-- Tells who owns shards of one master.
--
-- KEYS  1 any of the keys, so that the right master is asked
-- ARGV  the owner keys of the shards
-- Result: for each the owner, "" for none, or "?" while the shard is moving to another master

local found = {}
for at, key in ipairs(ARGV) do
  local owner = redis.pcall('GET', key)
  found[at] = type(owner) == 'table' and '?' or owner or ''
end
return found
