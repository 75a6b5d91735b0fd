-- Notes that entries of one app's log are in the database.
--
-- One script, so that an entry is counted when it is acknowledged and never again: two projectors may have
-- applied it, and a reply may have been lost. XACK comes first: out of memory, Redis refuses HSET as the
-- first write of a script, and the backlog could not shrink.
--
-- KEYS  1 log, 2 log state
-- ARGV  1 group, 2 bytes of the entries together, then their ids
-- Result: how many of them were not acknowledged before

local STEP = 1000
local done = 0
for from = 3, #ARGV, STEP do
  done = done + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, math.min(from + STEP - 1, #ARGV)))
end
if done > 0 then
  -- Entries made by hand were never counted as appended: whenever all is done, the counters agree again. Of
  -- those that another projector acknowledged before nobody knows the size: they have their share of the bytes.
  local counts = redis.call('HMGET', KEYS[2], 'appended', 'projected', 'waiting')
  local projected = math.min((tonumber(counts[2]) or 0) + done, tonumber(counts[1]) or 0)
  local waiting = math.max(0, (tonumber(counts[3]) or 0) - ARGV[2] * done / (#ARGV - 2))
  redis.call('HSET', KEYS[2], 'projected', projected, 'waiting', string.format('%.0f', waiting))
end
return done
