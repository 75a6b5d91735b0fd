#!lua flags=allow-oom
-- Removes what one app need not keep, in bounded steps, and notes when that is next due. Forgets an app that has
-- nothing left to do. Call it until it removes nothing.
--
-- One script, so that no entry, gateway or dead letter comes between the check and the removal. A send to an app
-- that was forgotten finds no log, and begins a new one. MAXLEN is never used: it would cut entries that the
-- database lacks. Steps are bounded because Redis serves nobody else while a script runs.
--
-- KEYS  1 apps, 2 pending, 3 log, 4 log state, 5 recalled, 6 dead letters, 7 gateways, 8 fence of the gateways
-- ARGV  1 app, 2 ms to keep entries, 3 entries to keep, 4 ms by which recall marks outlive their entries, 5 ms
--       that an app is kept after its last entry, 6 least ms until upkeep is due again, 7 ms until an app that is
--       kept for its gateways or dead letters is looked at again
-- Result: how many entries were removed, 1 if the app was forgotten

local NODES_STEP = 5000 -- entries in whole nodes, which are dropped unread
local READ_STEP = 100 -- entries that are read to find where to cut

local apps, pending, log, state, recalled, dead_letters, gateways, fence = unpack(KEYS)
local app = ARGV[1]
local keep_ms, keep_entries, margin_ms, keep_app_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function milliseconds_of(entry)
  return tonumber(string.match(entry, '^%d+'))
end

local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then
    return tonumber(a_ms) < tonumber(b_ms)
  end
  return tonumber(a_seq) < tonumber(b_seq)
end

-- Cuts before the entry `stored`, up to which the database has all. It stays itself.
local function trim(stored)
  local by_time = string.format('%.0f-0', math.max(0, now - keep_ms))
  local bound = is_before(by_time, stored) and by_time or stored
  local removed = redis.call('XTRIM', log, 'MINID', '~', bound, 'LIMIT', NODES_STEP)
  if removed == 0 then
    -- No whole node is left before the bound: at most a part of one.
    removed = redis.call('XTRIM', log, 'MINID', '=', bound)
  end
  local excess = redis.call('XLEN', log) - keep_entries
  if removed == 0 and excess > 0 then
    local step = math.min(excess, READ_STEP)
    local read = redis.call('XRANGE', log, '-', '+', 'COUNT', step + 1)
    local by_count = read[#read][1]
    removed = redis.call('XTRIM', log, 'MINID', '=', is_before(by_count, stored) and by_count or stored)
  end
  return removed
end

local known = redis.call('HMGET', state, 'last', 'projected')
local removed = known[2] and trim(known[2]) or 0
if removed > 0 then
  return { removed, 0 }
end

local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if oldest then
  redis.call('ZREMRANGEBYSCORE', recalled, '-inf', string.format('(%.0f', milliseconds_of(oldest[1]) - margin_ms))
end
local last = newest and newest[1] or known[1] or '0-0'
local forget_at = milliseconds_of(last) + keep_app_ms
local is_stored = not newest or newest[1] == known[2]
if is_stored and forget_at <= now and redis.call('ZCARD', gateways) == 0 and redis.call('XLEN', dead_letters) == 0 then
  redis.call('ZREM', apps, app)
  redis.call('ZREM', pending, app)
  -- One by one: a user's rights may be on each key by itself.
  for _, key in ipairs({ log, state, recalled, fence }) do
    redis.call('UNLINK', key)
  end
  return { 0, 1 }
end
local due = math.max(forget_at, now)
if is_stored and forget_at <= now then
  due = now + tonumber(ARGV[7])
elseif newest and oldest[1] ~= newest[1] then
  due = milliseconds_of(oldest[1]) + keep_ms
end
redis.call('ZADD', apps, string.format('%.0f', math.max(due, now + tonumber(ARGV[6]))), app)
return { 0, 0 }
