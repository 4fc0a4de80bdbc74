-- A limit of the cluster: takes in what a process has spent and gives back, refills, grants. See cluster.rs.
-- Key: a hash of `tokens` (free ones, may be below 0), `at` (when they were refilled, microseconds of this server), and
-- for each process "<tokens in its stock> <valid until> <1 if its shards had to refuse>".
-- Arguments: process, stock, returned, need, short, valid in microseconds, owed, most, rate, burst, slack.
-- Answer: granted, free tokens left, processes, others that are short, microseconds until there is a free token, tokens
-- that fit beside what others have leased.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local me = ARGV[1]
local stock, returned, need, short = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local valid, owed, most = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local rate, burst, slack = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local cap = burst + slack

local tokens, at = nil, now
local leased, mine, others, others_short = 0, 0, 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'tokens' then
    tokens = tonumber(value)
  elseif name == 'at' then
    at = tonumber(value)
  else
    local held, till, is_short = string.match(value, '^(%d+) (%d+) ([01])$')
    if held == nil then
      redis.call('HDEL', KEYS[1], name)
    elseif name == me then
      mine = tonumber(held)
      leased = leased + mine
    elseif tonumber(till) <= now then
      redis.call('HDEL', KEYS[1], name)
    else
      leased = leased + tonumber(held)
      others = others + 1
      if is_short == '1' then others_short = others_short + 1 end
    end
  end
end

-- The room is what it was while the time passed, before what was spent is known. A clock set back refills nothing.
-- A new bucket is full; for a process that went on alone there is no more than it knows of.
tokens = math.min(tokens or cap, most)
local room = math.max(0, cap - leased)
tokens = math.min(tokens + math.max(0, now - at) * rate / 1000000, room)
-- No more comes back than was leased and not spent.
tokens = tokens + math.min(returned, math.max(0, mine - stock))
tokens = math.max(tokens - owed, -cap)

local granted = 0
if valid == 0 then
  redis.call('HDEL', KEYS[1], me)
else
  others = others + 1
  -- The slack is not for shares of the burst: with it the rate goes on, whatever others keep.
  local free, of_burst = math.floor(tokens), math.floor(tokens - slack)
  if others_short > 0 then free = math.min(free, math.ceil(2 * tokens / (others_short + 1))) end
  granted = math.max(0, math.min(need - stock, free))
  if others_short == 0 then
    granted = math.max(granted, math.min(math.floor(burst / others) - stock, of_burst))
  end
  tokens = tokens - granted
  redis.call('HSET', KEYS[1], me, string.format('%.0f %.0f %s', stock + granted, now + valid, short))
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
-- Forgotten when it is full again and nobody has a lease.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(2 * cap / rate * 1000 + 60000, 4e10)))
local next_token = 0
if tokens < 1 then next_token = math.ceil(math.min((1 - tokens) / rate * 1000000, 1e15)) end
local fit = math.max(0, math.floor(cap - (leased - mine)))
return {granted, math.max(0, math.floor(tokens)), others, others_short, next_token, fit}
