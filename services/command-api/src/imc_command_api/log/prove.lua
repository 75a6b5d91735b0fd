-- Proves that Redis would do the work: the user may run each command, and Redis accepts writes.
--
-- One script, so that running scripts is proven too. The write changes nothing, and is refused like any other:
-- by a replica, or if the disk is full.
--
-- KEYS  those of the write
-- ARGV  1 the commands that the caller must be allowed, 2 the write; both in JSON
-- Result: OK, or the error of what was refused

for _, command in ipairs(cjson.decode(ARGV[1])) do
  if not redis.acl_check_cmd(unpack(command)) then
    local refusal = redis.pcall(unpack(command))
    return redis.error_reply('NOPERM ' .. string.gsub(refusal.err, '^%u+ ', '') .. ' (' .. command[1] .. ' ' .. (command[2] or '') .. ')')
  end
end
redis.call(unpack(cjson.decode(ARGV[2])))
return redis.status_reply('OK')
