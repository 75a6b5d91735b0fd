-- Goes on with the copy of a stream: entries keep their ids, and those that are erased nothing else.
--
-- A stream can't be changed in its middle, and an entry that is deleted there leaves its bytes in memory and in
-- files: its node is freed only with its last entry. So the stream is copied, step by step, and replaced.
--
-- KEYS  1 stream, 2 copy
-- ARGV  1 the newest entry of the copy as the caller knows it, 2 the entry to copy up to, 3 ms to keep the copy,
--       4, 5 the field of an erased entry and its value, then the entries that are erased
-- Result: the newest entry of the copy, "0-0" if it has none. If that is not ARGV[1], nothing was copied

local stream, copy = KEYS[1], KEYS[2]
local newest = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
local reached = newest and newest[1] or '0-0'
if newest and #redis.call('XRANGE', stream, reached, reached) == 0 then
  -- It is of another stream, which was forgotten meanwhile.
  redis.call('UNLINK', copy)
  return '0-0'
end
if reached ~= ARGV[1] then
  return reached
end
local is_erased = {}
for at = 6, #ARGV do
  is_erased[ARGV[at]] = true
end
for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. reached, ARGV[2])) do
  if is_erased[entry[1]] then
    redis.call('XADD', copy, entry[1], ARGV[4], ARGV[5])
  else
    redis.call('XADD', copy, entry[1], unpack(entry[2]))
  end
  reached = entry[1]
end
redis.call('PEXPIRE', copy, ARGV[3])
return reached
