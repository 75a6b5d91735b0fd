-- Removes entries that one app's log need not keep, in bounded steps. Call it until it removes nothing.
--
-- One script, so that no entry is delivered, claimed or appended between finding what the database lacks and
-- the cut. MAXLEN is never used: it would cut entries that the database lacks. Steps are bounded because Redis
-- serves nobody else while a script runs.
--
-- KEYS  1 log, 2 recalled
-- ARGV  1 group, 2 ms to keep, 3 entries to keep, 4 ms by which recall marks outlive their entries
-- Result: how many entries were removed

local NODES_STEP = 5000 -- entries in whole nodes, which are dropped unread
local READ_STEP = 100 -- entries that are read to find where to cut

local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then
    return tonumber(a_ms) < tonumber(b_ms)
  end
  return tonumber(a_seq) < tonumber(b_seq)
end

-- The first entry that must stay: the oldest not acknowledged, else the last one delivered.
local function first_needed(log, group)
  local info = group_info(log, group)
  if not info then
    return nil
  end
  local pending = redis.call('XPENDING', log, group)
  return pending[1] > 0 and pending[2] or info['last-delivered-id']
end

local log = KEYS[1]
local needed = first_needed(log, ARGV[1])
if not needed then
  return 0
end

local now = redis.call('TIME')
local by_time = string.format('%d-0', math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[2]))
local bound = is_before(by_time, needed) and by_time or needed
local removed = redis.call('XTRIM', log, 'MINID', '~', bound, 'LIMIT', NODES_STEP)
if removed == 0 then
  -- No whole node is left before the bound: at most a part of one.
  removed = redis.call('XTRIM', log, 'MINID', '=', bound)
end

local excess = redis.call('XLEN', log) - tonumber(ARGV[3])
if removed == 0 and excess > 0 then
  local step = math.min(excess, READ_STEP)
  local read = redis.call('XRANGE', log, '-', '+', 'COUNT', step + 1)
  local by_count = read[#read][1]
  removed = redis.call('XTRIM', log, 'MINID', '=', is_before(by_count, needed) and by_count or needed)
end

local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
if removed == 0 and first then
  local first_ms = tonumber(string.match(first[1], '^%d+'))
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%d', first_ms - tonumber(ARGV[4])))
end
return removed
