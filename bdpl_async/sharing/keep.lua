-- Keep answers, let go of claims, and say that their owner lives.
--   ARGV  prefix, owner, lease in ms, ms that a row is kept (0: for ever), number of rows,
--         for each row its key, the row, whether it replaces what is there (1 or 0),
--         then keys that are no longer asked for
-- What is there already stands: the first answer to a question counts.
local prefix, owner, lease, expire, rows = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
redis.call('SET', prefix .. 'o:' .. owner, 1, 'PX', lease)

local function let_go(key)
  if redis.call('GET', prefix .. 'c:' .. key) == owner then redis.call('DEL', prefix .. 'c:' .. key) end
end

local at = 6
for _ = 1, rows do
  local words = {'SET', prefix .. 'a:' .. ARGV[at], ARGV[at + 1]}
  if expire ~= '0' then words[#words + 1] = 'PX'; words[#words + 1] = expire end
  if ARGV[at + 2] == '0' then words[#words + 1] = 'NX' end
  redis.call(unpack(words))
  let_go(ARGV[at])
  at = at + 3
end
for i = at, #ARGV do let_go(ARGV[i]) end
return rows
