-- Answers under keys, and who asks for what is not there.
--   ARGV  prefix, owner, lease in ms, whether to claim (1 or 0), keys...
--   gives for each key its row, 1 if another process that lives asks for it, else 0
-- All keys are looked at in one step, so of several processes exactly one gets the 0.
local prefix, owner, lease, claims = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local DAY = 86400000
local alive, found = {}, {}
if claims then redis.call('SET', prefix .. 'o:' .. owner, 1, 'PX', lease) end

local function lives(holder)
  if alive[holder] == nil then
    alive[holder] = redis.call('EXISTS', prefix .. 'o:' .. holder) == 1
  end
  return alive[holder]
end

for i = 5, #ARGV do
  local row = redis.call('GET', prefix .. 'a:' .. ARGV[i])
  local claim = prefix .. 'c:' .. ARGV[i]
  if row then
    found[i - 4] = row
  else
    local holder = claims and redis.call('GET', claim)
    if holder and holder ~= owner and lives(holder) then
      found[i - 4] = 1
    else
      if claims then redis.call('SET', claim, owner, 'PX', DAY) end
      found[i - 4] = 0
    end
  end
end
return found
