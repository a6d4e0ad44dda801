-- One member of a budget group says where it stands, and asks for more. Every number it says is
-- absolute, so a call that ran although its answer was lost, or that a restart has undone, does no
-- harm: the next one says the same and more.
--   ARGV  the group's prefix, the grant's mark, member, number of the call, lease in ms,
--         spent, held, kept (four numbers each), 1 if it draws on what it keeps,
--         1 if it leaves, 1 if `kept` is a wish, number of corrections,
--         for each its second and tokens more or less, then four numbers for each request
--   gives what happened, the number of requests granted, ms to wait for the next one or the limit
--         that refuses it for good, the second they count in, and what is left of each limit
local base, mark, me, call, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local NAMES = {'requests', 'prompts', 'tokens', 'usd'}
local WINDOW = 61    -- seconds that a request counts, beside the rest of its own
local FOLD = 60000   -- ms after which a member that left is folded into one sum with others
local GONE = 86400000
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)

local grant = {}
local flat = redis.call('HGETALL', base .. 'grant')
for i = 1, #flat, 2 do grant[flat[i]] = flat[i + 1] end
if grant.mark ~= mark then return {'gone'} end

local at = 6
local function four()
  local found = {}
  for i = 1, 4 do found[i] = tonumber(ARGV[at]); at = at + 1 end
  return found
end
local spent, held, kept = four(), four(), four()
local draws, leaves, wishes = ARGV[at] == '1', ARGV[at + 1] == '1', ARGV[at + 2] == '1'
local corrections = tonumber(ARGV[at + 3])
at = at + 4

local function numbers(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(word) end
  return found
end
local function text(...)
  local words = {}
  for _, list in ipairs({...}) do
    for _, number in ipairs(list) do words[#words + 1] = string.format('%.17g', number) end
  end
  return table.concat(words, ' ')
end

-- A restarted Redis may have forgotten the last moments. All who live say within a lease what they
-- hold; until then nothing is granted.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local pause = tonumber(grant['pause'] or '0')
if grant.run ~= run then
  pause = now + lease
  redis.call('HSET', base .. 'grant', 'run', run, 'pause', pause)
end

-- Others: 1 call, 2 until, 3 left, 4-7 spent, 8-11 held, 12-15 kept.
local total, open = numbers(grant.gone or '0 0 0 0'), {0, 0, 0, 0}
local folded = false
flat = redis.call('HGETALL', base .. 'members')
for i = 1, #flat, 2 do
  local other = numbers(flat[i + 1])
  if flat[i] == me then
    if other[1] >= call then return {'late'} end
  else
    local lives = other[3] == 0 and other[2] > now
    for k = 1, 4 do
      total[k] = total[k] + other[3 + k] + other[7 + k]
    end
    if now - other[2] > (other[3] == 1 and FOLD or GONE) then
      local sum = numbers(grant.gone or '0 0 0 0')
      for k = 1, 4 do sum[k] = sum[k] + other[3 + k] + other[7 + k] end
      grant.gone, folded = text(sum), true
      redis.call('HDEL', base .. 'members', flat[i])
    elseif lives then
      for k = 1, 4 do
        total[k] = total[k] + other[11 + k]
        open[k] = open[k] + other[7 + k]
      end
    end
  end
end
if folded then redis.call('HSET', base .. 'grant', 'gone', grant.gone) end
for k = 1, 4 do
  total[k] = total[k] + spent[k] + held[k]
  open[k] = open[k] + held[k]
end

-- The limit that does not hold so much more, and whether it may when bounds of what is under way
-- turn out too high. Counts of requests and prompts never do.
local function short(more, reserve)
  for k, name in ipairs(NAMES) do
    local limit = tonumber(grant[name])
    if limit and total[k] + more[k] + reserve[k] > limit * (1 + 1e-12) then
      local soft = k > 2 and open[k] > 0
      return name, soft and total[k] - open[k] + more[k] + reserve[k] <= limit
    end
  end
end

-- ms until the windows of requests and tokens hold one more; what is larger than one goes alone.
local rates = redis.call('HGETALL', base .. 'rate')
local buckets, sums = {}, {0, 0}
for i = 1, #rates, 2 do
  local when, counts = tonumber(rates[i]), numbers(rates[i + 1])
  if when + WINDOW < second then
    redis.call('HDEL', base .. 'rate', rates[i])
  else
    buckets[when] = counts
    sums = {sums[1] + counts[1], sums[2] + counts[2]}
  end
end
for _ = 1, corrections do
  local counts = buckets[tonumber(ARGV[at])]
  if counts then
    local change = math.max(-counts[2], tonumber(ARGV[at + 1]))
    counts[2], sums[2] = counts[2] + change, sums[2] + change
    redis.call('HSET', base .. 'rate', ARGV[at], text(counts))
  end
  at = at + 2
end
local function delay(more)
  local over = {0, 0}
  for k, name in ipairs({'rpm', 'tpm'}) do
    local limit = tonumber(grant[name])
    if limit and sums[k] > 0 then over[k] = sums[k] + math.min(more[k], limit) - limit end
  end
  if over[1] <= 0 and over[2] <= 0 then return 0 end
  for when = second - WINDOW, second do
    local counts = buckets[when]
    if counts then
      over = {over[1] - counts[1], over[2] - counts[2]}
      if over[1] <= 0 and over[2] <= 0 then
        return math.max(10, (when + WINDOW + 1) * 1000 - now)
      end
    end
  end
  return 1000
end

local granted, answer = 0, ''
if wishes then
  local name = short({0, 0, 0, 0}, kept)
  if name then kept, answer = {0, 0, 0, 0}, name end
end
while at <= #ARGV do
  local more, reserve = four(), {}
  for k = 1, 4 do reserve[k] = draws and math.max(0, kept[k] - more[k]) or kept[k] end
  local name, soft = short(more, reserve)
  local ms = pause > now and math.min(pause - now, 500) or delay({1, more[3]})
  if name then answer = soft and '100 held' or name break end
  if ms > 0 then answer = string.format('%d %s', ms, pause > now and 'restart' or 'rate') break end
  for k = 1, 4 do
    total[k], held[k], open[k] = total[k] + more[k], held[k] + more[k], open[k] + more[k]
  end
  kept, granted = reserve, granted + 1
  local counts = buckets[second] or {0, 0}
  buckets[second] = {counts[1] + 1, counts[2] + more[3]}
  sums = {sums[1] + 1, sums[2] + more[3]}
end
if granted > 0 then redis.call('HSET', base .. 'rate', second, text(buckets[second])) end
redis.call('HSET', base .. 'members', me,
  text({call, now + (leaves and 0 or lease), leaves and 1 or 0}, spent, held, kept))

local left = {}
for k, name in ipairs(NAMES) do
  local limit = tonumber(grant[name])
  left[k] = limit and string.format('%.17g', limit - total[k]) or ''
end
return {'ok', granted, answer, second, left[1], left[2], left[3], left[4]}
