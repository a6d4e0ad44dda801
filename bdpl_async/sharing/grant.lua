-- Make a group's grant, change it, or look at it.
--   ARGV  the group's prefix, mark of a new grant, what to do: join, set or see,
--         then names and values of limits; an empty value takes a limit away
--   gives whether it is new (1 or 0), then names and values of the grant,
--         and of each member: name, and the numbers as `share` writes them; the time in ms
local base, mark, what = ARGV[1], ARGV[2], ARGV[3]
local there = redis.call('EXISTS', base .. 'grant') == 1
local new = not there and what ~= 'see' and #ARGV > 3
if new then
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  redis.call('HSET', base .. 'grant', 'mark', mark, 'run', run)
end
if new or (there and what == 'set') then
  for i = 4, #ARGV, 2 do
    if ARGV[i + 1] == '' then redis.call('HDEL', base .. 'grant', ARGV[i])
    else redis.call('HSET', base .. 'grant', ARGV[i], ARGV[i + 1]) end
  end
end
local time = redis.call('TIME')
local info = redis.call('INFO', 'persistence') .. redis.call('INFO', 'memory')
local lasts = string.match(info, 'aof_enabled:(%d)') or '1'
local policy = string.match(info, 'maxmemory_policy:(%S+)') or ''
return {new and 1 or 0, redis.call('HGETALL', base .. 'grant'),
  redis.call('HGETALL', base .. 'members'),
  tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), lasts, policy}
