-- How far the database is behind one app's log.
--
-- One script, so that the counters and the oldest entry belong to one moment. Writes nothing.
--
-- KEYS  1 log, 2 log state
-- ARGV  1 group
-- Result: list of: entries that the database lacks, ms since the oldest of them was appended (0 if none)

local counts = redis.call('HMGET', KEYS[2], 'appended', 'projected')
local waiting = math.max(0, (tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0))
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if waiting == 0 or pending.err then
  return { waiting, 0 }
end

local oldest = pending[1] > 0 and pending[2]
if not oldest then
  local info = group_info(KEYS[1], ARGV[1])
  local undelivered = info and redis.call('XRANGE', KEYS[1], '(' .. info['last-delivered-id'], '+', 'COUNT', 1)[1]
  oldest = undelivered and undelivered[1]
end
if not oldest then
  return { waiting, 0 }
end
local now = redis.call('TIME')
local age = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(string.match(oldest, '^%d+'))
return { waiting, math.max(0, age) }
