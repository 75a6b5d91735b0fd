-- Notes that entries of one app's log are in the database.
--
-- One script, so that an entry is counted when it is acknowledged and never again: two projectors may have
-- applied it, and a reply may have been lost. XACK comes first: out of memory, Redis refuses HSET as the
-- first write of a script, and the backlog could not shrink.
--
-- KEYS  1 log, 2 log state
-- ARGV  1 group, then the ids of the entries
-- Result: how many of them were not acknowledged before

local STEP = 1000
local done = 0
for from = 2, #ARGV, STEP do
  done = done + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, math.min(from + STEP - 1, #ARGV)))
end
if done > 0 then
  -- Entries made by hand were never counted as appended: whenever all is done, the counters agree again.
  local counts = redis.call('HMGET', KEYS[2], 'appended', 'projected')
  local projected = (tonumber(counts[2]) or 0) + done
  redis.call('HSET', KEYS[2], 'projected', math.min(projected, tonumber(counts[1]) or 0))
end
return done
