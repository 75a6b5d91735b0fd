-- Appends a batch of one app's events to its log, and publishes them.
--
-- One script, so that events are in the log exactly if they were published, and in the same order. A script is
-- not rolled back. So everything that can refuse the batch is checked before the first write. (Redis itself
-- refuses a script at its first write if it is out of memory, is a replica, or can't persist.)
--
-- Sends (messages and notices) keep to two quotas of the app: a bucket, stored as the time at which it will be
-- full again, and the bytes that wait for the database. Those beyond are refused one by one. Recalls and
-- deletions are never refused for a quota: there can't be more of them than of sends. Nor are erasures, which
-- operators ask for.
--
-- KEYS  1 log, 2 log state, 3 recalled, 4 send quota; of the shard: 5 pending, 6 changes, 7 apps; then, as
--       events point at them: the hashes of recent entries and the strings of sends that bore a clientMessageId
-- ARGV  1 channel, 2 epoch to take if the log has none, 3 most entries that may wait for the database,
--       4 ms to keep a recent hash, 5 ms to remember a clientMessageId, 6 app, 7 µs in which the bucket gains a
--       send or 0, 8 µs in which it fills, 9 most bytes that may wait or -1, 10 1 if the log may begin,
--       11 1 if a repeat has to be written too, 12 changes to keep, 13 how many values each event has, then those
--       values, 4 or 7 for each event: kind, body, id, number of its recent key; number of its sent key or 0,
--       receipt, mark ("score member" or ""); after the letter of the kind comes the context of the event's
--       trace, if it is traced. Without a sent key and a mark 4 do, which cost less.
-- Result: "full" if too many entries wait, "new" if the app has no log and none may begin, "end" if the log has
--       an id after which no other can be stored, else a list: epoch, µs until the bucket holds a send, then for
--       each event its entry id, or "=" and the receipt of the send that it repeats, or "x" if its id is retired
--       already, or "q" if the bucket is empty, or "b" if too many bytes wait

local log, state, recalled, send_quota, pending, changes, apps = unpack(KEYS, 1, 7)
local app = ARGV[6]
local known = redis.call('HMGET', state, 'epoch', 'last', 'waiting', 'waiting_bytes')
-- A server that lost a part of its file may hold one without the other: then the log begins anew.
local has_begun = known[1] and known[2]
local epoch, last = has_begun and known[1] or ARGV[2], has_begun and known[2] or '0-0'
local waiting = tonumber(known[3]) or 0
-- If no entry waits, no bytes wait.
local waiting_bytes = waiting > 0 and tonumber(known[4]) or 0

local FIRST, FIELDS = 14, tonumber(ARGV[13])
local count = (#ARGV - FIRST + 1) / FIELDS
if not has_begun and ARGV[10] ~= '1' then
  return 'new'
end
if waiting + count > tonumber(ARGV[3]) then
  return 'full'
end

local most_bytes = tonumber(ARGV[9])
local send_us, depth_us = tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now, full_at, was_full_at, sends = time[1] * 1000000 + time[2], 0, 0, count
if send_us > 0 then
  was_full_at = tonumber(redis.call('GET', send_quota) or 0)
  -- Never emptier than empty: the clock may have stepped back, or the quota been raised.
  full_at = math.min(math.max(now, was_full_at), now + depth_us)
  sends = math.floor((now + depth_us - full_at) / send_us)
end

local result = { epoch, 0 }
-- Its parts are joined at the end: a string of one's own for each line would cost as much as the rest.
local published = { epoch, ' ', last }
local recent = {}
local appended, sent, first = 0, 0, nil

-- Two masters that a failover has parted go on from the same entry, and may both append in one millisecond.
-- Whoever has the one entry must not take the other for it. So the first id of a batch has a random part, which
-- is the begin of the epoch that the caller has made up. Where the clock is not beyond the last entry, it counts on
-- from there. It is never left to Redis, which would take an entry that was made by hand for the last one.
local last_ms_digits, last_seq_digits = string.match(last, '^(%d+)-(%d+)$')
local last_ms = tonumber(last_ms_digits)
local ms = math.max(math.floor(now / 1000), last_ms)
local first_seq = ms > last_ms and (tonumber(string.sub(ARGV[2], 1, 5), 16) or 0) or tonumber(last_seq_digits) + 1
local later_ids = string.format('%.0f-*', ms)
local next_id = string.format('%.0f-%.0f', ms, first_seq)

-- Whether the database could not store what follows on an entry that was made by hand: see EntryId in cursor.py.
local function is_at_its_end()
  local info = redis.call('XINFO', 'STREAM', log)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      local ms_digits, seq_digits = string.match(info[at + 1], '^(%d+)-(%d+)$')
      return #ms_digits > 13 or #seq_digits > 9 -- a digit less than fits: a batch follows
    end
  end
end

-- Returns the id of a new entry, or nil if the log is at its end. That is known before anything is written.
local function add(...)
  local entry = redis.pcall('XADD', log, next_id, ...)
  if type(entry) == 'table' then
    -- The log has an entry with a later id, which was made by hand.
    if is_at_its_end() then
      return nil
    end
    entry, later_ids = redis.call('XADD', log, '*', ...), '*'
  end
  next_id = later_ids
  return entry
end

for at = FIRST, #ARGV, FIELDS do
  local kind, body, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local recent_key, sent_key, receipt, mark = KEYS[tonumber(ARGV[at + 3])], nil, '', ''
  if FIELDS > 4 then
    sent_key, receipt, mark = KEYS[tonumber(ARGV[at + 4])], ARGV[at + 5], ARGV[at + 6]
  end
  local trace = #kind > 1 and string.sub(kind, 2)
  if trace then
    kind = string.sub(kind, 1, 1)
  end
  local retires = kind == 'r' or kind == 'd'
  local is_send = kind == 's' or kind == 'p'
  local retired = retires and id .. ' ' .. app
  local bytes = #kind + #body + 2 + (trace and #trace + 1 or 0) -- as projectors count them: with the names of the fields
  local is_over = is_send and (sent >= sends and 'q' or most_bytes >= 0 and waiting_bytes + bytes > most_bytes and 'b')
  if is_send and not is_over then
    sent = sent + 1
  end
  local earlier = not is_over and sent_key and redis.call('GET', sent_key)

  if is_over then
    result[#result + 1] = is_over
  elseif earlier then
    result[#result + 1] = '=' .. earlier
  elseif retires and redis.call('HEXISTS', recent_key, retired) == 1 then
    result[#result + 1] = 'x'
  else
    local entry
    if trace then
      entry = add('k', kind, 'v', body, 't', trace)
      published[3] = published[3] .. ' ' .. trace
    else
      entry = add('k', kind, 'v', body)
    end
    if not entry then
      return 'end'
    end
    last, appended, first = entry, appended + 1, first or entry
    waiting_bytes = waiting_bytes + bytes
    result[#result + 1] = entry
    local at_end = #published
    published[at_end + 1], published[at_end + 2], published[at_end + 3] = '\n', entry, ' '
    published[at_end + 4], published[at_end + 5], published[at_end + 6] = kind, ' ', body
    if sent_key then
      redis.call('SET', sent_key, receipt .. ' ' .. entry, 'PX', ARGV[5])
    end
    if retires then
      -- At once, not with the others below: a second recall in this batch must find it.
      redis.call('HSET', recent_key, retired, entry)
      redis.call('PEXPIRE', recent_key, ARGV[4])
    elseif is_send then
      local pairs_of_key = recent[recent_key] or {}
      recent[recent_key] = pairs_of_key
      local known_ids = #pairs_of_key
      pairs_of_key[known_ids + 1], pairs_of_key[known_ids + 2] = id, entry .. ' ' .. app
    end
    if mark ~= '' then
      local score, member = string.match(mark, '^(%d+) (.*)$')
      redis.call('ZADD', recalled, score, member)
    end
  end
end

if appended > 0 then
  local first_ms = string.match(first, '^%d+')
  for key, pairs_of_key in pairs(recent) do
    redis.call('HSET', key, unpack(pairs_of_key))
    redis.call('PEXPIRE', key, ARGV[4])
  end
  local fields = { 'last', last, 'waiting', waiting + appended, 'waiting_bytes', string.format('%.0f', waiting_bytes) }
  if not has_begun then
    for _, text in ipairs({ 'epoch', epoch, 'born', first }) do
      fields[#fields + 1] = text
    end
    redis.call('ZADD', apps, first_ms, app)
  end
  redis.call('HSET', state, unpack(fields))
  redis.call('ZADD', pending, 'NX', first_ms, app)
  redis.call('XADD', changes, 'MAXLEN', '~', ARGV[12], '*', 'a', app)
  redis.call('SPUBLISH', ARGV[1], table.concat(published))
elseif ARGV[11] == '1' and has_begun then
  -- Changes nothing. The caller waits until replicas have its last write, and so the send that is repeated.
  redis.call('HSET', state, 'last', last)
end
if send_us > 0 then
  local is_cut = full_at < was_full_at
  full_at = full_at + sent * send_us
  if sent > 0 or is_cut then
    redis.call('SET', send_quota, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
  end
  result[2] = math.max(0, math.ceil(full_at + send_us - depth_us - now))
end
return result
