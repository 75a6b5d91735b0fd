-- Acknowledges entries of one app's log, which are in the database.
--
-- One script, so that each entry is counted once: two projectors may have applied it, or a reply may have been
-- lost. XACK comes first: out of memory, Redis refuses HSET as the first write of a script, and the backlog could
-- not shrink.
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
  -- Entries made by hand were never counted as appended, hence the minimum. The size of those that another
  -- projector acknowledged before is not known: each counts the average.
  local counts = redis.call('HMGET', KEYS[2], 'appended', 'projected', 'waiting')
  local projected = math.min((tonumber(counts[2]) or 0) + done, tonumber(counts[1]) or 0)
  local waiting = math.max(0, (tonumber(counts[3]) or 0) - ARGV[2] * done / (#ARGV - 2))
  redis.call('HSET', KEYS[2], 'projected', projected, 'waiting', string.format('%.0f', waiting))
end
return done
