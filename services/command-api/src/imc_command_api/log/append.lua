-- Appends a batch of one app's events to its log, and publishes them.
--
-- One script, so that events are in the log exactly if they were published, and in the same order. A script is
-- not rolled back. So everything that can refuse the batch is checked before the first write. (Redis itself
-- refuses a script at its first write if it is out of memory, is a replica, or can't persist.)
--
-- Sends (messages and notices) keep to two quotas of the app: a bucket, stored as the time at which it will be
-- full again, and the bytes that wait for the database. Those beyond are refused one by one. Recalls and
-- deletions are never refused for a quota: there can't be more of them than of sends.
--
-- KEYS  1 log, 2 log state, 3 recalled, 4 send quota; then, as events point at them: the hashes of recent entries and the
--       strings of sends that bore a clientMessageId
-- ARGV  1 channel, 2 epoch to take if the log has none, 3 most entries that may wait for the database,
--       4 ms to keep a recent hash, 5 ms to remember a clientMessageId, 6 the projectors' group, 7 µs in which
--       the bucket gains a send or 0, 8 µs in which it fills, 9 most bytes that may wait or -1, then 7 for
--       each event: kind, body, id, number of its recent key, number of its sent key or 0, receipt, mark
--       ("score member" or "")
-- Result: "full" if too many entries wait, else a list: epoch, 1 if it was taken now, µs until the bucket holds
--       a send, then for each event its entry id, or "=" and the receipt of the send that it repeats, or "x" if
--       its id is retired already, or "q" if the bucket is empty, or "b" if too many bytes wait

local log, state, recalled = KEYS[1], KEYS[2], KEYS[3]
local known = redis.call('HMGET', state, 'epoch', 'last', 'appended', 'projected', 'waiting')
local epoch, last = known[1] or ARGV[2], known[2] or '0-0'
local waiting = (tonumber(known[3]) or 0) - (tonumber(known[4]) or 0)

local FIRST, FIELDS = 10, 7
local count = (#ARGV - FIRST + 1) / FIELDS
if waiting + count > tonumber(ARGV[3]) then
  return 'full'
end

-- If no entry waits, no bytes wait. This corrects what two projectors may have counted wrong.
local waiting_bytes = waiting > 0 and tonumber(known[5]) or 0
local most_bytes = tonumber(ARGV[9])
local send_us, depth_us = tonumber(ARGV[7]), tonumber(ARGV[8])
local now, full_at, was_full_at, sends = 0, 0, 0, count
if send_us > 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  was_full_at = tonumber(redis.call('GET', KEYS[4]) or 0)
  -- Never emptier than empty: the clock may have stepped back, or the quota been raised.
  full_at = math.min(math.max(now, was_full_at), now + depth_us)
  sends = math.floor((now + depth_us - full_at) / send_us)
end

local result = { epoch, known[1] and 0 or 1, 0 }
local published = { epoch .. ' ' .. last }
local recent = {}
local appended, sent, born = 0, 0, nil

for at = FIRST, #ARGV, FIELDS do
  local kind, body, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local recent_key, sent_key = KEYS[tonumber(ARGV[at + 3])], KEYS[tonumber(ARGV[at + 4])]
  local receipt, mark = ARGV[at + 5], ARGV[at + 6]
  local retires = kind == 'r' or kind == 'd'
  local bytes = #kind + #body + 2 -- as projectors count them: with the names of the fields
  local is_over = not retires and (sent >= sends and 'q' or most_bytes >= 0 and waiting_bytes + bytes > most_bytes and 'b')
  if not retires and not is_over then
    sent = sent + 1
  end
  local earlier = not is_over and sent_key and redis.call('GET', sent_key)

  if is_over then
    result[#result + 1] = is_over
  elseif earlier then
    result[#result + 1] = '=' .. earlier
  elseif retires and string.sub(redis.call('HGET', recent_key, id) or '', 1, 1) == 'x' then
    result[#result + 1] = 'x'
  else
    local entry = redis.call('XADD', log, '*', 'k', kind, 'v', body)
    last, appended, born = entry, appended + 1, born or entry
    waiting_bytes = waiting_bytes + bytes
    result[#result + 1] = entry
    published[#published + 1] = entry .. ' ' .. kind .. ' ' .. body
    if sent_key then
      redis.call('SET', sent_key, receipt .. ' ' .. entry, 'PX', ARGV[5])
    end
    if retires then
      -- At once, not with the others below: a second recall in this batch must find it.
      redis.call('HSET', recent_key, id, 'x' .. entry)
      redis.call('PEXPIRE', recent_key, ARGV[4])
    else
      local pairs_of_key = recent[recent_key] or {}
      recent[recent_key] = pairs_of_key
      pairs_of_key[#pairs_of_key + 1] = id
      pairs_of_key[#pairs_of_key + 1] = entry
    end
    if mark ~= '' then
      local score, member = string.match(mark, '^(%d+) (.*)$')
      redis.call('ZADD', recalled, score, member)
    end
  end
end

if appended > 0 then
  if not known[2] then
    -- Created with the log, not by a projector: out of memory, Redis would refuse that, and the backlog of a new
    -- app could never shrink. It fails if the group exists.
    redis.pcall('XGROUP', 'CREATE', log, ARGV[6], '0')
  end
  for key, pairs_of_key in pairs(recent) do
    redis.call('HSET', key, unpack(pairs_of_key))
    redis.call('PEXPIRE', key, ARGV[4])
  end
  redis.call('HSET', state, 'epoch', epoch, 'last', last, 'waiting', string.format('%.0f', waiting_bytes))
  redis.call('HSETNX', state, 'born', born)
  redis.call('HINCRBY', state, 'appended', appended)
  redis.call('PUBLISH', ARGV[1], table.concat(published, '\n'))
end
if send_us > 0 then
  local is_cut = full_at < was_full_at
  full_at = full_at + sent * send_us
  if sent > 0 or is_cut then
    redis.call('SET', KEYS[4], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
  end
  result[3] = math.max(0, math.ceil(full_at + send_us - depth_us - now))
end
return result
