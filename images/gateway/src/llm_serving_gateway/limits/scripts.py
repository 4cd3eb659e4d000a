"""The scripts of Lua. All times are Redis's own, so that clocks of replicas do not count."""

_COMMON = """
local window, leases, held, budget, done = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock = redis.call('TIME')
local now = tonumber(clock[1])
local now_ms = now * 1000 + math.floor(tonumber(clock[2]) / 1000)
local id, tokens, nano = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local period_seconds = tonumber(ARGV[4])
local period = math.floor(now / period_seconds)

local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or '0')
end

local function open_period()
  if number(budget, 'period') ~= period or redis.call('EXISTS', budget) == 0 then
    redis.call('DEL', budget)
    redis.call('HSET', budget, 'period', period)
    redis.call('EXPIREAT', budget, (period + 1) * period_seconds + 86400)
  end
end

-- Redis may have lost what this replica was told before.
local function remember(known_period, known_tokens, known_nano)
  if known_period == period then
    if number(budget, 'tokens') < known_tokens then redis.call('HSET', budget, 'tokens', known_tokens) end
    if number(budget, 'nano') < known_nano then redis.call('HSET', budget, 'nano', known_nano) end
  end
end

local function spend(more_tokens, more_nano)
  redis.call('HINCRBY', budget, 'tokens', more_tokens)
  redis.call('HINCRBY', budget, 'nano', more_nano)
end

local function hold(more_tokens, more_nano)
  redis.call('HINCRBY', budget, 'held_tokens', more_tokens)
  redis.call('HINCRBY', budget, 'held_nano', more_nano)
end

local function parse(entry)
  local state, second, held_tokens, held_nano, held_period = string.match(entry, '(%a):(%d+):(%d+):(%d+):(%d+)')
  return state, second, tonumber(held_tokens), tonumber(held_nano), tonumber(held_period)
end
"""

ACQUIRE = (
    _COMMON
    + """
local max_requests, max_tokens, max_parallel = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local budget_tokens, budget_nano = tonumber(ARGV[8]), tonumber(ARGV[9])
local lease_ms, window_seconds = tonumber(ARGV[10]), tonumber(ARGV[11])
local has_budget = budget_tokens >= 0 or budget_nano >= 0

if has_budget then
  open_period()
  remember(tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]))
  -- A new period, or a server that has forgotten this one: the caller asks the table, and comes again.
  if ARGV[15] == 'ask' and not redis.call('HGET', budget, 'loaded') then return {'unloaded', period} end
  if ARGV[15] == 'loaded' then redis.call('HSET', budget, 'loaded', 1) end
end

-- Whoever held these is gone: what it may have used counts as used.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now_ms, 'LIMIT', 0, 200)) do
  redis.call('ZREM', leases, gone)
  local entry = redis.call('HGET', held, gone)
  if entry then
    local _, _, gone_tokens, gone_nano, gone_period = parse(entry)
    if has_budget and gone_period == period then
      hold(0 - gone_tokens, 0 - gone_nano)
      spend(gone_tokens, gone_nano)
    end
    -- It stays: whoever held it may only have lost sight of this server, and settles it or takes it up again.
    redis.call('HSET', held, gone, 'u' .. string.sub(entry, 2))
  end
end

-- It came too late, or was sent again.
local is_done = redis.call('ZSCORE', done, id .. ':back') or redis.call('ZSCORE', done, id .. ':end')
if is_done or redis.call('HEXISTS', held, id) == 1 then
  return {'', period, number(budget, 'tokens'), number(budget, 'nano')}
end

local used_requests, used_tokens = 0, 0
local seconds, requests_at, tokens_at = {}, {}, {}
local fields = redis.call('HGETALL', window)
for i = 1, #fields, 2 do
  local kind, second, count = string.sub(fields[i], 1, 1), tonumber(string.sub(fields[i], 2)), tonumber(fields[i + 1])
  if second <= now - window_seconds then
    redis.call('HDEL', window, fields[i])
  else
    if not requests_at[second] then
      seconds[#seconds + 1], requests_at[second], tokens_at[second] = second, 0, 0
    end
    if kind == 'r' then
      requests_at[second], used_requests = count, used_requests + count
    else
      tokens_at[second], used_tokens = count, used_tokens + count
    end
  end
end

-- Seconds until buckets that expire have given back so much.
local function wait_for(at, excess)
  table.sort(seconds)
  for _, second in ipairs(seconds) do
    excess = excess - at[second]
    if excess <= 0 then return math.max(1, second + window_seconds - now) end
  end
  return window_seconds
end

if has_budget then
  local left = (period + 1) * period_seconds - now
  if budget_tokens >= 0 and number(budget, 'tokens') + number(budget, 'held_tokens') + tokens > budget_tokens then
    return {'budget', left}
  end
  if budget_nano >= 0 and number(budget, 'nano') + number(budget, 'held_nano') + nano > budget_nano then
    return {'budget', left}
  end
end
if max_parallel >= 0 and redis.call('ZCARD', leases) >= max_parallel then return {'parallel', 1} end
if max_requests >= 0 and used_requests + 1 > max_requests then
  return {'requests', wait_for(requests_at, used_requests + 1 - max_requests)}
end
if max_tokens >= 0 and used_tokens + tokens > max_tokens then
  return {'tokens', wait_for(tokens_at, used_tokens + tokens - max_tokens)}
end

redis.call('HINCRBY', window, 'r' .. now, 1)
redis.call('HINCRBY', window, 't' .. now, tokens)
redis.call('EXPIRE', window, 2 * window_seconds)
redis.call('ZADD', leases, now_ms + lease_ms, id)
redis.call('EXPIRE', leases, 172800)
redis.call('HSET', held, id, string.format('h:%d:%d:%d:%d', now, tokens, nano, period))
redis.call('EXPIRE', held, 172800)
if has_budget then hold(tokens, nano) end
return {'', period, number(budget, 'tokens'), number(budget, 'nano')}
"""
)
"""Reserves, or says what is short: ``{'', period, tokens, nano}`` or ``{kind, seconds}``; ``{'unloaded', period}``
where the table may know more of the budget."""

SETTLE = (
    _COMMON
    + """
local has_budget = tonumber(ARGV[5]) == 1
if has_budget then
  open_period()
  remember(tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
end
-- An operation that came too late for its caller is sent again, and counts once.
local settled = id .. ':' .. ARGV[9]
if redis.call('ZSCORE', done, settled) then
  return {'', period, number(budget, 'tokens'), number(budget, 'nano')}
end
redis.call('ZADD', done, now, settled)
redis.call('ZREMRANGEBYSCORE', done, '-inf', now - 300)
redis.call('EXPIRE', done, 600)
local entry = redis.call('HGET', held, id)
redis.call('ZREM', leases, id)
if entry then
  redis.call('HDEL', held, id)
  local state, second, held_tokens, held_nano, held_period = parse(entry)
  if redis.call('HEXISTS', window, 't' .. second) == 1 then
    redis.call('HINCRBY', window, 't' .. second, tokens - held_tokens)
  end
  if has_budget then
    if held_period ~= period then
      spend(tokens, nano)
    elseif state == 'h' then
      hold(0 - held_tokens, 0 - held_nano)
      spend(tokens, nano)
    else
      spend(tokens - held_tokens, nano - held_nano)
    end
  end
elseif tonumber(ARGV[10]) == 0 then
  -- It was granted without Redis, or Redis has lost it. One that is sent again after long is one that was settled.
  redis.call('HINCRBY', window, 't' .. now, tokens)
  redis.call('EXPIRE', window, 122)
  if has_budget then spend(tokens, nano) end
end
return {'', period, number(budget, 'tokens'), number(budget, 'nano')}
"""
)
"""Replaces what was reserved by what was used, and ends the lease; ``back``: nobody knows whether it was reserved."""

RENEW = (
    _COMMON
    + """
local has_budget, until_ms = tonumber(ARGV[5]) == 1, now_ms + tonumber(ARGV[6])
if has_budget then
  open_period()
  remember(tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]))
end
for i = 10, #ARGV, 3 do
  local running, its_tokens, its_nano = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if not redis.call('ZSCORE', done, running .. ':end') then
    local entry = redis.call('HGET', held, running)
    if not entry then
      -- It was granted without Redis, or Redis has lost it.
      redis.call('HINCRBY', window, 't' .. now, its_tokens)
      redis.call('EXPIRE', window, 122)
      redis.call('HSET', held, running, string.format('h:%d:%d:%d:%d', now, its_tokens, its_nano, period))
      redis.call('EXPIRE', held, 172800)
      if has_budget then hold(its_tokens, its_nano) end
    else
      local state, _, held_tokens, held_nano, held_period = parse(entry)
      if state == 'u' then
        if has_budget and held_period == period then
          spend(0 - held_tokens, 0 - held_nano)
          hold(held_tokens, held_nano)
        end
        redis.call('HSET', held, running, 'h' .. string.sub(entry, 2))
      end
    end
    redis.call('ZADD', leases, until_ms, running)
    redis.call('EXPIRE', leases, 172800)
  end
end
return 1
"""
)
"""Lets leases of requests that run last longer, and takes up those that it knows nothing of, or took for gone."""
