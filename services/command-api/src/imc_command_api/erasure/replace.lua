-- Puts the copy of a stream in its place, with the entries that came meanwhile.
--
-- One script, so that no entry comes in between, and nobody finds no stream.
--
-- KEYS  1 stream, 2 copy
-- ARGV  1 the newest entry of the copy as the caller knows it, 2 the most entries to add, 3 1 if entries may have
--       been deleted from the middle of the stream meanwhile
-- Result: 1 if the stream was replaced or is gone, 0 if the copy has to go on, or to begin anew

local stream, copy = KEYS[1], KEYS[2]
if redis.call('XLEN', stream) == 0 then
  redis.call('UNLINK', copy)
  return 1
end
local newest = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
if (newest and newest[1] or '0-0') ~= ARGV[1] then
  return 0
end
if newest and #redis.call('XRANGE', stream, ARGV[1], ARGV[1]) == 0 then
  -- It is of another stream, which was forgotten meanwhile.
  redis.call('UNLINK', copy)
  return 0
end
local most = tonumber(ARGV[2])
local rest = redis.call('XRANGE', stream, '(' .. ARGV[1], '+', 'COUNT', most + 1)
if #rest > most then
  return 0
end
for _, entry in ipairs(rest) do
  redis.call('XADD', copy, entry[1], unpack(entry[2]))
end
-- A log may have lost its oldest entries meanwhile: its next upkeep removes them again.
local lacks = redis.call('XLEN', stream) - redis.call('XLEN', copy)
if lacks > 0 or (lacks < 0 and ARGV[3] == '1') then
  redis.call('UNLINK', copy)
  return 0
end
redis.call('RENAME', copy, stream)
redis.call('PERSIST', stream)
return 1
