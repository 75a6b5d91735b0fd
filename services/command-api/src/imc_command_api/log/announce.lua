-- Adds an app to the list of apps, unless the quota of new apps is used up.
--
-- One script, so that all processes together keep to the quota. The quota is a bucket, stored as the time at
-- which it will be full again.
--
-- KEYS  1 list of apps, 2 bucket of new apps
-- ARGV  1 app, 2 µs in which the bucket gains a new app or 0 for no limit, 3 µs in which it fills
-- Result: 0, or µs until there is room for a new app

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
  return 0
end
local app_us, depth_us = tonumber(ARGV[2]), tonumber(ARGV[3])
if app_us > 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  -- Never emptier than empty: the clock may have stepped back, or the quota been raised.
  local full_at = math.min(math.max(now, tonumber(redis.call('GET', KEYS[2]) or 0)), now + depth_us)
  local wait = full_at + app_us - depth_us - now
  if wait > 0 then
    return math.ceil(wait)
  end
  full_at = full_at + app_us
  redis.call('SET', KEYS[2], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
end
redis.call('SADD', KEYS[1], ARGV[1])
return 0
