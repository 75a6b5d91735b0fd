#!lua flags=allow-oom,allow-cross-slot-keys
-- Gives shards of one master to a projector, or gives them up.
--
-- One script for each shard's check and write, so that of two projectors that want a shard one gets it. No shard
-- gets a second owner: the one before can't move a position any more (advance.lua).
--
-- KEYS  1 any of the owner keys, so that the right master is asked
-- ARGV  for each shard: its owner key, its owner as the caller knows it or "", the next owner or ""
-- Result: for each shard 1 if it was handed over

local done = {}
for at = 1, #ARGV, 3 do
  local key, before, after = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  -- While a shard is moving to another master, its reply is an error, which is not what was there before.
  if (redis.pcall('GET', key) or '') ~= before then
    done[#done + 1] = 0
  else
    if after == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, after)
    end
    done[#done + 1] = 1
  end
end
return done
