-- Forgets an app that has nothing left to do: removes it from the list of apps, and removes its keys.
--
-- One script, so that no send, gateway or dead letter comes between the check and the removal. A send that comes
-- later finds no log. It begins a new one, and adds the app to the list again before it is acknowledged.
--
-- KEYS  1 list of apps, 2 log, 3 log state, 4 dead letters, 5 recalled, 6 gateways, 7 fence of the gateways
-- ARGV  1 app, 2 group, 3 ms that an app is kept after its last entry, 4 1 if one that never had an entry may go
-- Result: 1 if it was forgotten

local function age_of(last)
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(string.match(last, '^%d+'))
end

-- The newest entry stays in a log when all are in the database: trim.lua cuts before the last one delivered.
local function is_in_database(log, group, newest)
  if #newest > 1 then
    return false
  end
  local info = group_info(log, group)
  if not info then
    return #newest == 0
  end
  return info['pending'] == 0 and (#newest == 0 or newest[1][1] == info['last-delivered-id'])
end

local apps, log, state, dead_letters, recalled, gateways, fence = unpack(KEYS)
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 2)
if redis.call('ZCARD', gateways) > 0 or redis.call('XLEN', dead_letters) > 0 or not is_in_database(log, ARGV[2], newest) then
  return 0
end
local last = newest[1] and newest[1][1] or redis.call('HMGET', state, 'last')[1]
if last and age_of(last) < tonumber(ARGV[3]) or not last and ARGV[4] ~= '1' then
  return 0
end
redis.call('SREM', apps, ARGV[1])
-- One by one: a user's rights may be on each key by itself.
for _, key in ipairs({ log, state, recalled, fence }) do
  redis.call('UNLINK', key)
end
return 1
