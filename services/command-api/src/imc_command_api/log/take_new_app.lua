-- Takes one new app from the bucket of new apps, which is stored as the time at which it will be full again.
--
-- One script, so that all processes together keep to the quota.
--
-- KEYS  1 bucket of new apps
-- ARGV  1 µs in which the bucket gains a new app, 2 µs in which it fills
-- Result: 0, or µs until there is room for a new app

local app_us, depth_us = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Never emptier than empty: the clock may have stepped back, or the quota been raised.
local full_at = math.min(math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0)), now + depth_us)
local wait = full_at + app_us - depth_us - now
if wait > 0 then
  return math.ceil(wait)
end
full_at = full_at + app_us
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return 0
