-- Begins the scripts that have to know how far a consumer group is.

-- What XINFO tells of a group of a log, by name; nil if there is no such log or group.
local function group_info(log, group)
  local groups = redis.pcall('XINFO', 'GROUPS', log)
  if groups.err then
    return nil
  end
  for _, flat in ipairs(groups) do
    local info = {}
    for at = 1, #flat, 2 do
      info[flat[at]] = flat[at + 1]
    end
    if info['name'] == group then
      return info
    end
  end
  return nil
end

