"""The scripts of Lua. All times are Redis's own, in milliseconds, so that clocks of pods do not count.

Every script gets the prefix of all keys as its one key. Under it are:

- ``task:<owner>/<id>``: a hash, of kind ``request``, ``line`` (of a batch) or ``expand`` (a batch that waits for its
  lines to become tasks), with its ``state``, the ``entry`` of the stream that leads to it, how often it was delivered,
  and ``attempt``, by which a worker that was given up is told from the one after it;
- ``batch:<owner>/<id>``, ``file:<owner>/<id>`` (hashes) and ``content:<owner>/<id>`` (a text);
- ``requests`` and ``lines``: the streams, each with the group ``workers``; requests go first;
- ``open``: all tasks that have not ended, by when they came; ``delayed``: those that wait for a moment;
- ``kept``, ``sizes`` and ``bytes``: when each object is to be forgotten, how large it is, and the sum of that;
- ``reserved``: lines of batches that are not tasks yet; ``dead``: what was given up after its last delivery;
- ``hooks`` and ``hook_attempts``: webhooks that are to be sent, by when.
"""

GROUP = "workers"
STREAMS = ("requests", "lines")

_COMMON = """
local P = KEYS[1] .. ':'
-- What an object takes besides its contents; most objects that one pass looks after, so that no script holds up the
-- limits for long; how many of what was given up are remembered.
local OVERHEAD, SWEEP, DEAD_KEPT = 1000, 200, 1000
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function get(key, field) return redis.call('HGET', P .. key, field) or nil end
local function number(key, field) return tonumber(get(key, field) or '0') end
local function bytes() return tonumber(redis.call('GET', P .. 'bytes') or '0') end

local function keep(name, size, until_ms)
  local before = number('sizes', name)
  redis.call('HSET', P .. 'sizes', name, size)
  redis.call('INCRBY', P .. 'bytes', size - before)
  redis.call('ZADD', P .. 'kept', until_ms, name)
  redis.call('PEXPIREAT', P .. name, until_ms)
end

local function forget(name)
  redis.call('INCRBY', P .. 'bytes', 0 - number('sizes', name))
  redis.call('HDEL', P .. 'sizes', name)
  redis.call('ZREM', P .. 'kept', name)
  redis.call('DEL', P .. name)
  local kind, owner, id = string.match(name, '^(%a+):(.*)/([^/]+)$')
  if kind == 'file' then redis.call('ZREM', P .. 'files:' .. owner, id)
  elseif kind == 'batch' then
    redis.call('ZREM', P .. 'batches:' .. owner, id)
    -- No worker was there for it in all its time.
    redis.call('HDEL', P .. 'reserved', owner .. '/' .. id)
  end
end

local function waiting()
  local sum = redis.call('ZCARD', P .. 'open')
  for _, lines in ipairs(redis.call('HVALS', P .. 'reserved')) do sum = sum + tonumber(lines) end
  return sum
end

local function enqueue(task)
  local stream = get('task:' .. task, 'stream')
  local entry = redis.call('XADD', P .. stream, '*', 'task', task)
  redis.call('HSET', P .. 'task:' .. task, 'entry', entry)
end

local function acknowledge(stream, entry)
  redis.call('XACK', P .. stream, 'workers', entry)
  redis.call('XDEL', P .. stream, entry)
end

local function detach(task)
  local stream, entry = get('task:' .. task, 'stream'), get('task:' .. task, 'entry')
  if entry and entry ~= '' then acknowledge(stream, entry) end
  redis.call('HSET', P .. 'task:' .. task, 'entry', '')
  redis.call('ZREM', P .. 'delayed', task)
end

local function add_hook(kind, name)
  if get(kind .. ':' .. name, 'hook') then redis.call('ZADD', P .. 'hooks', now, kind .. ':' .. name) end
end

-- A line of a batch's output or error file.
local function append(batch, which, line)
  local key = 'batch:' .. batch
  local owner, horizon = get(key, 'owner'), number(key, 'until')
  local id = get(key, which .. '_id')
  local file = owner .. '/' .. id
  if redis.call('EXISTS', P .. 'file:' .. file) == 0 then
    local filename = get(key, 'id') .. '_' .. which .. '.jsonl'
    redis.call('HSET', P .. 'file:' .. file, 'id', id, 'owner', owner, 'created', now, 'filename', filename,
      'purpose', 'batch_output', 'until', horizon)
    keep('file:' .. file, OVERHEAD, horizon)
    redis.call('ZADD', P .. 'files:' .. owner, horizon, id)
    redis.call('HSET', P .. key, which .. '_file', id)
  end
  local size = redis.call('APPEND', P .. 'content:' .. file, line .. '\\n')
  keep('content:' .. file, size, horizon)
  redis.call('HSET', P .. 'file:' .. file, 'bytes', size)
end

local function end_batch(batch, state)
  redis.call('HSET', P .. 'batch:' .. batch, 'state', state, state .. '_at', now)
  redis.call('HDEL', P .. 'reserved', batch)
  add_hook('batch', batch)
end

local function close_batch(batch)
  local key = 'batch:' .. batch
  local state = get(key, 'state')
  if state ~= 'in_progress' and state ~= 'cancelling' then return end
  if number(key, 'completed') + number(key, 'failed') + number(key, 'dropped') < number(key, 'total') then return end
  if state == 'cancelling' then end_batch(batch, 'cancelled')
  elseif number(key, 'expired') > 0 then end_batch(batch, 'expired')
  else end_batch(batch, 'completed') end
end

local WORDS = {
  expired = {'expired', 'It was not answered in the time that requests may wait.'},
  dead = {'deliveries_exhausted', 'It was given up: each attempt to answer it ended without an answer.'},
  gone = {'input_gone', 'Its file is no longer there.'},
}

-- How a task ends. `outcome`: completed, failed, cancelled, expired, dead, gone; the first two may have a result.
local function end_task(task, outcome, keep_ms, status, result)
  local key = 'task:' .. task
  local kind, batch = get(key, 'kind'), get(key, 'batch')
  detach(task)
  redis.call('ZREM', P .. 'open', task)
  if outcome == 'dead' then
    redis.call('XADD', P .. 'dead', 'MAXLEN', '~', DEAD_KEPT, '*', 'task', task, 'key', get(key, 'key') or '',
      'model', get(key, 'model') or '')
  end
  local words = WORDS[outcome]
  if kind == 'expand' then
    forget(key)
    if outcome == 'expired' then end_batch(batch, 'expired')
    elseif words then
      local errors = {{code = words[1], message = words[2], line = cjson.null, param = cjson.null}}
      redis.call('HSET', P .. 'batch:' .. batch, 'errors', cjson.encode(errors))
      end_batch(batch, 'failed')
    end
  elseif kind == 'line' then
    local of = P .. 'batch:' .. batch
    if redis.call('EXISTS', of) == 1 then
      if words then
        if outcome == 'expired' then redis.call('HSET', of, 'expired', 1) end
        result = result or cjson.encode({id = get(key, 'public'), custom_id = get(key, 'custom'),
          response = cjson.null, error = {code = words[1], message = words[2]}})
      end
      if outcome == 'cancelled' then redis.call('HINCRBY', of, 'dropped', 1)
      elseif outcome == 'completed' then
        append(batch, 'output', result)
        redis.call('HINCRBY', of, 'completed', 1)
      else
        append(batch, 'error', result)
        redis.call('HINCRBY', of, 'failed', 1)
      end
    end
    forget(key)
    if redis.call('EXISTS', of) == 1 then close_batch(batch) end
  else
    local state = outcome
    if outcome == 'dead' or outcome == 'gone' then state = 'failed' end
    redis.call('HSET', P .. key, 'state', state, 'ended', now, 'status', status or '', 'result', result or '',
      'until', now + keep_ms)
    if words then redis.call('HSET', P .. key, 'code', words[1], 'message', words[2]) end
    redis.call('HDEL', P .. key, 'body')
    keep(key, OVERHEAD + string.len(result or ''), now + keep_ms)
    add_hook('task', task)
  end
end

local function is_cancelled(batch)
  return batch and get('batch:' .. batch, 'state') == 'cancelling'
end
"""

SUBMIT = (
    _COMMON
    + """
local task, digest = ARGV[1], ARGV[2]
local most, most_bytes, size, wait_ms, keep_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7])
local key = 'task:' .. task
local before = get(key, 'digest')
if before then return before == digest and 'same' or 'other' end
if waiting() + 1 > most then return 'full' end
if bytes() + OVERHEAD + size > most_bytes then return 'no_room' end
redis.call('HSET', P .. key, 'kind', 'request', 'stream', 'requests', 'state', 'queued', 'digest', digest,
  'created', now, 'deadline', now + wait_ms, 'until', now + wait_ms + keep_ms, unpack(ARGV, 8))
redis.call('ZADD', P .. 'open', now, task)
keep(key, OVERHEAD + size, now + wait_ms + keep_ms)
enqueue(task)
return 'new'
"""
)
"""Take a request in: ``new``, ``same`` (it was there), ``other`` (another of this id was), ``full``, ``no_room``."""

PUT_FILE = (
    _COMMON
    + """
local file, owner, id, most_bytes, keep_ms, content = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]),
  ARGV[6]
local size = string.len(content)
if bytes() + 2 * OVERHEAD + size > most_bytes then return 'no_room' end
redis.call('HSET', P .. 'file:' .. file, 'id', id, 'owner', owner, 'created', now, 'bytes', size, 'purpose', 'batch',
  'until', now + keep_ms, unpack(ARGV, 7))
redis.call('SET', P .. 'content:' .. file, content)
keep('file:' .. file, OVERHEAD, now + keep_ms)
keep('content:' .. file, OVERHEAD + size, now + keep_ms)
redis.call('ZADD', P .. 'files:' .. owner, now + keep_ms, id)
return 'new'
"""
)
"""Keep a file: ``new``, or ``no_room``."""

DELETE_FILE = (
    _COMMON
    + """
local file, owner, id = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', P .. 'file:' .. file) == 0 then return 'gone' end
for _, batch in ipairs(redis.call('ZRANGE', P .. 'batches:' .. owner, 0, -1)) do
  local key = 'batch:' .. owner .. '/' .. batch
  local state = get(key, 'state')
  if state == 'validating' or state == 'in_progress' or state == 'cancelling' then
    if get(key, 'input') == id or get(key, 'output_id') == id or get(key, 'error_id') == id then return 'used' end
  end
end
forget('file:' .. file)
forget('content:' .. file)
return 'deleted'
"""
)
"""Forget a file: ``deleted``, ``gone``, or ``used`` by a batch that has not ended."""

CREATE_BATCH = (
    _COMMON
    + """
local owner, id, input = ARGV[1], ARGV[2], ARGV[3]
local most, most_bytes, wait_ms, keep_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local batch, task, file = owner .. '/' .. id, owner .. '/' .. id .. '.expand', 'file:' .. owner .. '/' .. input
if redis.call('EXISTS', P .. file) == 0 or get(file, 'purpose') ~= 'batch' then return 'gone' end
local lines = number(file, 'lines')
if waiting() + lines > most then return 'full' end
if bytes() + (lines + 3) * OVERHEAD > most_bytes then return 'no_room' end
local deadline, horizon = now + wait_ms, now + wait_ms + keep_ms
redis.call('HSET', P .. 'batch:' .. batch, 'id', id, 'owner', owner, 'input', input, 'state', 'validating',
  'created', now, 'deadline', deadline, 'until', horizon, 'total', lines, 'expanded', 0, unpack(ARGV, 8))
keep('batch:' .. batch, OVERHEAD, horizon)
for _, name in ipairs({file, 'content:' .. owner .. '/' .. input}) do
  keep(name, number('sizes', name), math.max(horizon, number(file, 'until')))
end
redis.call('ZADD', P .. 'files:' .. owner, math.max(horizon, number(file, 'until')), input)
redis.call('HSET', P .. file, 'until', math.max(horizon, number(file, 'until')))
redis.call('ZADD', P .. 'batches:' .. owner, horizon, id)
redis.call('HSET', P .. 'reserved', batch, lines)
redis.call('HSET', P .. 'task:' .. task, 'kind', 'expand', 'stream', 'requests', 'state', 'queued', 'batch', batch,
  'owner', owner, 'created', now, 'deadline', deadline, 'until', horizon)
redis.call('ZADD', P .. 'open', now, task)
keep('task:' .. task, OVERHEAD, horizon)
enqueue(task)
return 'new'
"""
)
"""Take a batch in, whose lines become tasks later: ``new``, ``gone`` (its file), ``full``, ``no_room``."""

EXPAND = (
    _COMMON
    + """
local batch, task, from, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key = 'batch:' .. batch
local state, total = get(key, 'state'), number(key, 'total')
if state == 'cancelling' then
  -- Those that are no tasks yet will never be.
  redis.call('HINCRBY', P .. key, 'dropped', total - number(key, 'expanded'))
  redis.call('HDEL', P .. 'reserved', batch)
  end_task(task, 'cancelled', keep_ms)
  close_batch(batch)
  return 'over'
end
if state ~= 'validating' then return 'over' end
if number(key, 'expanded') ~= from then return number(key, 'expanded') end
local owner, key_name, path = get(key, 'owner'), get(key, 'key'), get(key, 'path')
local created, deadline, horizon = get(key, 'created'), number(key, 'deadline'), number(key, 'until')
local line = from
for i = 5, #ARGV, 5 do
  local name = batch .. '.' .. line
  redis.call('HSET', P .. 'task:' .. name, 'kind', 'line', 'stream', 'lines', 'state', 'queued', 'batch', batch,
    'owner', owner, 'key', key_name, 'path', path, 'input', get(key, 'input'), 'created', created,
    'deadline', deadline, 'until', horizon, 'offset', ARGV[i], 'length', ARGV[i + 1], 'custom', ARGV[i + 2],
    'public', ARGV[i + 3], 'model', ARGV[i + 4])
  redis.call('ZADD', P .. 'open', created, name)
  keep('task:' .. name, OVERHEAD, horizon)
  enqueue(name)
  line = line + 1
end
redis.call('HSET', P .. key, 'expanded', line)
redis.call('HSET', P .. 'reserved', batch, total - line)
if line == total then
  redis.call('HDEL', P .. 'reserved', batch)
  redis.call('HSET', P .. key, 'state', 'in_progress', 'in_progress_at', now)
  end_task(task, 'completed', keep_ms)
  close_batch(batch)
  return 'over'
end
return line
"""
)
"""Make tasks of lines from ``from`` on, once: the number of the next line, or ``over``."""

FAIL_BATCH = (
    _COMMON
    + """
local batch, task, errors, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if get('batch:' .. batch, 'state') == 'validating' then
  redis.call('HSET', P .. 'batch:' .. batch, 'errors', errors)
  end_batch(batch, 'failed')
elseif get('batch:' .. batch, 'state') == 'cancelling' then
  end_batch(batch, 'cancelled')
end
end_task(task, 'completed', keep_ms)
"""
)
"""End a batch whose file is not what it must be."""

TAKE = (
    _COMMON
    + """
local stream, entry, task, deliveries, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key = 'task:' .. task
local state = get(key, 'state')
if get(key, 'entry') ~= entry or (state ~= 'queued' and state ~= 'in_progress') then
  acknowledge(stream, entry)
  return {}
end
local kind, batch = get(key, 'kind'), get(key, 'batch')
if kind == 'line' and is_cancelled(batch) then
  end_task(task, 'cancelled', keep_ms)
  return {'cancelled'}
end
if number(key, 'deadline') <= now then
  end_task(task, 'expired', keep_ms)
  return {'expired'}
end
if redis.call('HINCRBY', P .. key, 'deliveries', 1) > deliveries then
  end_task(task, 'dead', keep_ms)
  return {'dead'}
end
local body = get(key, 'body')
if kind == 'line' then
  local offset = number(key, 'offset')
  body = redis.call('GETRANGE', P .. 'content:' .. get(key, 'owner') .. '/' .. get(key, 'input'), offset,
    offset + number(key, 'length') - 1)
  if body == '' then
    end_task(task, 'gone', keep_ms)
    return {'gone'}
  end
end
redis.call('HSET', P .. key, 'state', 'in_progress')
redis.call('HSETNX', P .. key, 'started', now)
local attempt = redis.call('HINCRBY', P .. key, 'attempt', 1)
return {'', kind, attempt, number(key, 'deliveries'), number(key, 'deadline') - now, get(key, 'key') or '',
  get(key, 'path') or '', body or '', batch or '', get(key, 'custom') or '', get(key, 'public') or '',
  get(key, 'model') or ''}
"""
)
"""Take a task that the stream delivered: what it is, or how it ended; nothing where the entry leads to none."""

END = (
    _COMMON
    + """
local task, attempt, outcome, keep_ms, status, result = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local key = 'task:' .. task
if get(key, 'state') ~= 'in_progress' or get(key, 'attempt') ~= attempt then return 0 end
if get(key, 'kind') == 'line' and is_cancelled(get(key, 'batch')) and outcome ~= 'completed' then
  outcome, result = 'cancelled', ''
end
end_task(task, outcome, keep_ms, status, result)
return 1
"""
)
"""Write a result, acknowledge and count, in one step; 0 where another attempt, or a cancellation, came first."""

RELEASE = (
    _COMMON
    + """
local task, attempt, delay_ms, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key = 'task:' .. task
if get(key, 'state') ~= 'in_progress' or get(key, 'attempt') ~= attempt then return 0 end
detach(task)
redis.call('HSET', P .. key, 'state', 'queued')
if counts == 0 then redis.call('HINCRBY', P .. key, 'deliveries', -1) end
redis.call('ZADD', P .. 'delayed', now + delay_ms, task)
return 1
"""
)
"""Give a task back, to be taken again after a while; ``counts``: whether this was a delivery."""

RENEW = (
    _COMMON
    + """
local lost = {}
for i = 2, #ARGV, 2 do
  local key = 'task:' .. ARGV[i]
  if get(key, 'state') == 'in_progress' and get(key, 'attempt') == ARGV[i + 1]
      and not is_cancelled(get(key, 'batch')) and number(key, 'deadline') > now then
    redis.call('XCLAIM', P .. get(key, 'stream'), 'workers', ARGV[1], 0, get(key, 'entry'), 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""
)
"""Say that these tasks (with their attempts) are still worked on: those that were cancelled, or given to another."""

CANCEL = (
    _COMMON
    + """
local task, keep_ms = ARGV[1], tonumber(ARGV[2])
local key = 'task:' .. task
local state = get(key, 'state')
if get(key, 'kind') ~= 'request' then return 'gone' end
if state == 'queued' or state == 'in_progress' then
  end_task(task, 'cancelled', keep_ms)
  return 'cancelled'
end
return state
"""
)
"""End a request: what it is then, ``gone`` where there is none."""

CANCEL_BATCH = (
    _COMMON
    + """
local batch, from, count, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local key = 'batch:' .. batch
local state = get(key, 'state')
if not state then return 'gone' end
if state == 'validating' or state == 'in_progress' then
  redis.call('HSET', P .. key, 'state', 'cancelling', 'cancelling_at', now)
elseif state ~= 'cancelling' then return 'over' end
local last = math.min(from + count, number(key, 'expanded')) - 1
for line = from, last do
  local task = batch .. '.' .. line
  if get('task:' .. task, 'state') then end_task(task, 'cancelled', keep_ms) end
end
if last + 1 < number(key, 'expanded') then return last + 1 end
return 'over'
"""
)
"""End a batch, and its lines from ``from`` on: the number of the next, ``over``, or ``gone`` where there is none."""

MAINTAIN = (
    _COMMON
    + """
local keep_ms, hold_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, stream in ipairs({'requests', 'lines'}) do
  redis.pcall('XGROUP', 'CREATE', P .. stream, 'workers', '0', 'MKSTREAM')
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', P .. stream, 'workers')) do
    -- {'name', ..., 'pending', ..., 'idle', ...}: one of a pod that is long gone.
    if consumer[4] == 0 and consumer[6] > 3600000 then
      redis.call('XGROUP', 'DELCONSUMER', P .. stream, 'workers', consumer[2])
    end
  end
end
for _, task in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, SWEEP)) do
  redis.call('ZREM', P .. 'delayed', task)
  if get('task:' .. task, 'state') == 'queued' then enqueue(task) end
end
local expired = 0
for _, task in ipairs(redis.call('ZRANGEBYSCORE', P .. 'open', '-inf', now - hold_ms, 'LIMIT', 0, SWEEP)) do
  if not get('task:' .. task, 'state') then redis.call('ZREM', P .. 'open', task)
  elseif number('task:' .. task, 'deadline') <= now then
    end_task(task, 'expired', keep_ms)
    expired = expired + 1
  end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', P .. 'kept', '-inf', now, 'LIMIT', 0, SWEEP)) do forget(name) end
local running = 0
for _, stream in ipairs({'requests', 'lines'}) do
  running = running + redis.call('XPENDING', P .. stream, 'workers')[1]
end
local oldest = redis.call('ZRANGE', P .. 'open', 0, 0, 'WITHSCORES')
return {waiting(), running, redis.call('ZCARD', P .. 'delayed'), oldest[2] and (now - tonumber(oldest[2])) or 0,
  bytes(), redis.call('XLEN', P .. 'dead'), redis.call('ZCARD', P .. 'hooks'), expired}
"""
)
"""What has to be done now and then, by any worker; and how full the queue is."""

LEAVE = (
    _COMMON
    + """
for _, stream in ipairs({'requests', 'lines'}) do
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', P .. stream, 'workers')) do
    if consumer[2] == ARGV[1] and consumer[4] == 0 then
      redis.call('XGROUP', 'DELCONSUMER', P .. stream, 'workers', ARGV[1])
    end
  end
end
"""
)
"""A worker goes that has nothing left."""

NEXT_HOOK = (
    _COMMON
    + """
local lease_ms = tonumber(ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', P .. 'hooks', '-inf', now, 'LIMIT', 0, SWEEP)) do
  local url = get(name, 'hook')
  if url then
    redis.call('ZADD', P .. 'hooks', now + lease_ms, name)
    local attempt = redis.call('HINCRBY', P .. 'hook_attempts', name, 1)
    return {name, attempt, url, get(name, 'owner'), get(name, 'state'), get(name, 'ended') or now}
  end
  redis.call('ZREM', P .. 'hooks', name)
  redis.call('HDEL', P .. 'hook_attempts', name)
end
return {}
"""
)
"""The webhook that is due, which nobody else gets for a while."""

HOOK_OVER = (
    _COMMON
    + """
redis.call('ZREM', P .. 'hooks', ARGV[1])
redis.call('HDEL', P .. 'hook_attempts', ARGV[1])
"""
)
HOOK_LATER = (
    _COMMON
    + """
redis.call('ZADD', P .. 'hooks', 'XX', now + tonumber(ARGV[2]), ARGV[1])
"""
)
