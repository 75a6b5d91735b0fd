-- Leases a worker number, or renews the lease of one.
--
-- One script, so that no two owners take the same number. A number's record has its owner, the end of the lease
-- in Redis' time, and the last id time that was ever reserved. The next owner begins after that, whatever its
-- clock says.
--
-- KEYS  1 hash: worker number -> "owner ends reserved"
-- ARGV  1 owner, 2 number held or -1, 3 id time now, 4 ms of id time to reserve, 5 ms of lease, 6 how many
--       numbers there are, 7 number to look at first
-- Result: number, first id time that may be used, last id time that may be used; or {} if all are taken

local owner, held, now, span = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local redis_now = time[1] * 1000 + math.floor(time[2] / 1000)

local function read(worker)
  local text = redis.call('HGET', KEYS[1], worker)
  if not text then
    return '', 0, 0
  end
  local holder, ends, reserved = string.match(text, '^(%S+) (%d+) (%d+)$')
  return holder, tonumber(ends), tonumber(reserved)
end

local function take(worker, floor, reserved)
  local until_ = math.max(math.max(now, floor) + span, reserved)
  local ends = redis_now + tonumber(ARGV[5])
  redis.call('HSET', KEYS[1], worker, string.format('%s %.0f %.0f', owner, ends, until_))
  return { tonumber(worker), floor, until_ }
end

if held ~= '-1' then
  local holder, _, reserved = read(held)
  if holder == owner then
    return take(held, 0, reserved)
  end
end

local count, first = tonumber(ARGV[6]), tonumber(ARGV[7])
local best, best_reserved
for step = 0, count - 1 do
  local worker = (first + step) % count
  local _, ends, reserved = read(worker)
  if ends < redis_now and (not best or reserved < best_reserved) then
    best, best_reserved = worker, reserved
    if reserved < now then
      break
    end
  end
end
if not best then
  return {}
end
return take(best, best_reserved + 1, best_reserved)
