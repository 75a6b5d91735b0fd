-- Moves an entry that can't be projected to the dead letters, and acknowledges it.
--
-- One script, so that the entry is in one of both, whichever process dies. It is copied from the log itself,
-- byte for byte, with repeated fields. The copy is the first write: out of memory, Redis refuses it, and nothing
-- has happened.
--
-- KEYS  1 log, 2 dead letters, 3 log state
-- ARGV  1 group, 2 id of the entry, 3 reason
-- Result: 1, or 0 if the entry no longer waits (another projector was faster)

local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err or #pending == 0 then
  return 0
end

local bytes = 0
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if found then
  local letter = found[2]
  for _, part in ipairs(letter) do
    bytes = bytes + #part
  end
  local now = redis.call('TIME')
  local ours = { 'id', ARGV[2], 'reason', ARGV[3], 'time', string.format('%d%03d', now[1], math.floor(now[2] / 1000)) }
  for _, part in ipairs(ours) do
    letter[#letter + 1] = part
  end
  redis.call('XADD', KEYS[2], '*', unpack(letter))
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
-- As in acknowledge.lua: one made by hand was never counted as appended.
local counts = redis.call('HMGET', KEYS[3], 'appended', 'projected', 'waiting')
local projected = math.min((tonumber(counts[2]) or 0) + 1, tonumber(counts[1]) or 0)
local waiting = math.max(0, (tonumber(counts[3]) or 0) - bytes)
redis.call('HSET', KEYS[3], 'projected', projected, 'waiting', string.format('%.0f', waiting))
return 1
