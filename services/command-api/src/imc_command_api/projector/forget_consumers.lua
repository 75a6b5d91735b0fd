-- Removes the consumers of processes that are gone.
--
-- One script: if a consumer were given an entry between the check and its removal, the entry would be lost to
-- all others.
--
-- KEYS  1 log
-- ARGV  1 group, 2 ms without a sign of life
-- Result: how many were removed

local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then
  return 0
end
local removed = 0
for _, flat in ipairs(consumers) do
  local info = {}
  for at = 1, #flat, 2 do
    info[flat[at]] = flat[at + 1]
  end
  if info['pending'] == 0 and info['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info['name'])
    removed = removed + 1
  end
end
return removed
