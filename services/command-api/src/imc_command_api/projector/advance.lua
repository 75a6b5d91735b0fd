#!lua flags=allow-oom,allow-cross-slot-keys
-- Moves on the positions of apps of one master: the database has their logs up to there.
--
-- One script, so that the position of an app moves exactly if the caller owns its shard, and has begun where
-- another has not moved it meanwhile. Entries that the database refused are copied to the dead letters from the
-- log itself, byte for byte, with repeated fields: so each is in the database or among the dead letters,
-- whichever process dies. Out of memory, Redis runs this all the same, or the backlog could not shrink.
--
-- KEYS  1 the owner key of any app, so that the right master is asked
-- ARGV  1 caller, 2 entries of a log to keep, 3 ms to keep them; then for each app: app; owner, log, log state,
--       pending, apps and dead letters, the keys; epoch; entry that it began after; newest entry that the
--       database has; number and bytes of the entries between; number of dead letters; then for each of these:
--       entry, reason
-- Result: for each app 1 if its position was moved; not while its shard is moving to another master

local caller, keep_entries, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST, FIELDS = 4, 13

local function milliseconds_of(entry)
  return tonumber(string.match(entry, '^%d+'))
end

local function bury(log, dead_letters, entry, reason)
  local found = redis.call('XRANGE', log, entry, entry)[1]
  if not found then
    return
  end
  local now = redis.call('TIME')
  local letter = found[2]
  local ours = { 'id', entry, 'reason', reason, 'time', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)) }
  for _, part in ipairs(ours) do
    letter[#letter + 1] = part
  end
  redis.call('XADD', dead_letters, '*', unpack(letter))
end

local function advance(at, letters)
  local app, owner, log, state, pending, apps, dead_letters, epoch, after, upto, count, bytes = unpack(ARGV, at, at + 11)
  local known = redis.call('HMGET', state, 'epoch', 'projected', 'waiting', 'waiting_bytes')
  if redis.call('GET', owner) ~= caller or (known[1] or '') ~= epoch or (known[2] or '0-0') ~= after then
    return 0
  end
  for letter = at + FIELDS, at + FIELDS + 2 * letters - 1, 2 do
    bury(log, dead_letters, ARGV[letter], ARGV[letter + 1])
  end
  -- Counted anew whenever nothing waits: entries made by hand were never counted.
  local waiting, waiting_bytes = 0, 0
  local next_entry = redis.call('XRANGE', log, '(' .. upto, '+', 'COUNT', 1)[1]
  if next_entry then
    waiting = math.max(1, (tonumber(known[3]) or 0) - count)
    waiting_bytes = math.max(0, (tonumber(known[4]) or 0) - bytes)
    redis.call('ZADD', pending, milliseconds_of(next_entry[1]), app)
  else
    redis.call('ZREM', pending, app)
  end
  redis.call('HSET', state, 'projected', upto, 'waiting', waiting, 'waiting_bytes', string.format('%.0f', waiting_bytes))
  local is_long = redis.call('XLEN', log) > keep_entries
  redis.call('ZADD', apps, 'LT', is_long and 0 or milliseconds_of(upto) + keep_ms, app)
  return 1
end

local result = {}
local at = FIRST
while at <= #ARGV do
  local letters = tonumber(ARGV[at + 12])
  local is_here, moved = pcall(advance, at, letters)
  result[#result + 1] = is_here and moved or 0
  at = at + FIELDS + 2 * letters
end
return result
