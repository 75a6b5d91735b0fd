-- Removes a step's worth of what one app's log need not keep; to be called until nothing is removed.
--
-- One script, so that no entry is delivered, claimed or appended between the look at what is not yet in the
-- database and the cut. For the same reason never by MAXLEN, which looks at nothing. Steps are bounded, since
-- Redis does nothing else meanwhile.
--
-- KEYS  1 log, 2 recalled
-- ARGV  1 group, 2 ms to keep, 3 entries to keep, 4 ms by which recall marks outlive their entries
-- Result: how many entries were removed

local NODES_STEP = 5000 -- entries in whole nodes, which are dropped unread
local READ_STEP = 100 -- entries that have to be read to find the place to cut

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
  local groups = redis.pcall('XINFO', 'GROUPS', log)
  if groups.err then
    return nil
  end
  for _, flat in ipairs(groups) do
    local info = {}
    for at = 1, #flat, 2 do
      info[flat[at]] = flat[at + 1]
    end
    if info['name'] == group then
      local pending = redis.call('XPENDING', log, group)
      return pending[1] > 0 and pending[2] or info['last-delivered-id']
    end
  end
  return nil
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
