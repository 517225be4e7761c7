-- SPDX-License-Identifier: ISC
--
-- What the relays of a cluster ask of Redis in one step: the order of the log
-- and who is there. src/relay/log.h sends it and reads its answers.
--
-- KEYS[1]  the log's state, a hash: replid, epoch, n, tag: the last entry;
--          name: the epoch that clients know; hw:NODE: the last number of that
--          node's outbox which is in the log; e:EPOCH: "TAG BASE", how that
--          epoch came about
-- KEYS[2]  the stream. An entry's id is EPOCH-N; its fields:
--          b  the entry before it, as EPOCH-N/TAG, whatever stands between
--          g  the tag of its epoch;  k  its kind;  v  the version of its form
--          o, s, t, p  origin, the number there, the time, the payload
-- KEYS[3]  the nodes, a hash: NODE:owner, NODE:seen (ms), NODE:met: the
--          replication id then, NODE:at: the last entry that it has applied,
--          NODE:lineage: that, and the last of each epoch before,
--          NODE:highest: the epoch of the highest id that it has given,
--          NODE:horizon: the oldest it can go back to;
--          new, since, asked (ms): the replication id of a master that waits
--          for nodes, since when, and when one of them last came
--
-- Two lineages may give an epoch the same number, where a failover left two
-- masters for a while: the tag tells them apart.
--
-- The replication id is read here and not taken from the caller: each master
-- has another one, from its start or promotion on. What it has of the log may
-- then be less than was acknowledged, so a new epoch begins, and its first
-- entry says where.

local ENTRIES = 8589934591 -- of an epoch: 2^33, less one
local EPOCHS_KEPT = 100
local LEASE_MS = 10000     -- a node that has been silent so long may be replaced
local AWAY_MS = 86400000   -- and so long: it is waited for no more
local GATHER_MS = 2000     -- others are waited for: a new log, a new epoch
local PAUSE_MS = 1000      -- nobody came for so long: the wait begins anew

local op, node = ARGV[1], ARGV[2]

local function text(number)
  return string.format('%.0f', number)
end

local function position(epoch, n)
  return text(epoch) .. '-' .. text(n)
end

local function read_position(p)
  local epoch, n = string.match(p, '^(%d+)%-(%d+)')
  return tonumber(epoch), tonumber(n)
end

-- Others can write there, too.
local function is_position(p)
  return p and string.find(p, '^%d+%-%d+/')
end

local function is_before(a, b)
  local ae, an = read_position(a)
  local be, bn = read_position(b)
  return ae < be or (ae == be and an < bn)
end

local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function state()
  local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'n', 'tag', 'name')
  return {replid = m[1], epoch = tonumber(m[2] or '0'),
    n = tonumber(m[3] or '-1'), tag = m[4] or '', name = m[5]}
end

-- Nothing but this script adds entries, so what is behind the last one is
-- nobody's, and would keep the next one out. Redis 8 wants the highest deleted
-- id set back, too, or refuses the last one; and then what was deleted before
-- stays so.
local function mend(s)
  local found = 0
  local first = '(' .. position(s.epoch, s.n)
  while true do
    local rows = redis.call('XRANGE', KEYS[2], first, '+', 'COUNT', 100)
    if #rows == 0 then break end
    for _, row in ipairs(rows) do redis.call('XDEL', KEYS[2], row[1]) end
    found = found + #rows
  end
  if redis.call('EXISTS', KEYS[2]) == 1 then
    local last = position(s.epoch, s.n)
    redis.call('XSETID', KEYS[2], last, 'MAXDELETEDID', last)
  end
  return found
end

local function append(s, epoch, n, tag, base, ...)
  local id = position(epoch, n)
  local answer = redis.pcall('XADD', KEYS[2], id, 'b', base, 'g', tag, ...)
  if type(answer) == 'table' and answer.err then
    if not string.find(answer.err, 'equal or smaller') then
      error(answer.err, 0)
    end
    mend(s)
    redis.call('XADD', KEYS[2], id, 'b', base, 'g', tag, ...)
  end
end

local function begin_epoch(s, epoch, base, replid, version)
  local tag = string.sub(
    redis.sha1hex(replid .. text(epoch) .. text(now_ms()) .. node), 1, 8)
  append(s, epoch, 0, tag, base, 'k', 'epoch', 'v', version)
  redis.call('HSET', KEYS[1], 'replid', replid, 'epoch', text(epoch),
    'n', '0', 'tag', tag, 'e:' .. text(epoch), tag .. ' ' .. base)
  redis.call('HDEL', KEYS[1], 'e:' .. text(epoch - EPOCHS_KEPT))
end

-- {NODE, position, ms since it was seen, ...} of all that are waited for.
local function nodes(t)
  local all = redis.call('HGETALL', KEYS[3])
  local found, list = {}, {}
  for i = 1, #all, 2 do
    local name, what = string.match(all[i], '^(.*):(%a+)$')
    if name then
      found[name] = found[name] or {name = name}
      found[name][what] = all[i + 1]
    end
  end
  for name, one in pairs(found) do
    local ms = tonumber(one.seen)
    if ms and t - ms > AWAY_MS then
      redis.call('HDEL', KEYS[3], name .. ':seen', name .. ':at',
        name .. ':horizon', name .. ':owner', name .. ':met',
        name .. ':lineage', name .. ':highest')
    elseif ms and is_position(one.at) and is_position(one.horizon) then
      one.age = t - ms
      one.lineage = one.lineage or one.at
      one.epoch = math.max(tonumber(one.highest) or 0, (read_position(one.at)))
      table.insert(list, one)
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- push NODE PREVIOUS VERSION, then SEQ TIME KIND PAYLOAD of each row: they
-- follow PREVIOUS in that node's outbox.
--   ok SEQ      they are in the log, up to that one
--   behind SEQ  PREVIOUS is not the last one that is: that is SEQ
--   stale       meet first
local function push()
  local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'n', 'tag',
    'hw:' .. node)
  if not m[1] or m[1] ~= replication_id() then return {'stale'} end
  local epoch, n, tag = tonumber(m[2]), tonumber(m[3]), m[4]
  local hw = m[5] or '0'
  if hw ~= ARGV[3] then return {'behind', hw} end
  if n + (#ARGV - 4) / 4 > ENTRIES then return {'stale'} end
  for i = 5, #ARGV, 4 do
    append({epoch = epoch, n = n}, epoch, n + 1, tag,
      position(epoch, n) .. '/' .. tag, 'o', node, 's', ARGV[i],
      't', ARGV[i + 1], 'k', ARGV[i + 2], 'v', ARGV[4], 'p', ARGV[i + 3])
    n, hw = n + 1, ARGV[i]
  end
  redis.call('HSET', KEYS[1], 'n', text(n), 'hw:' .. node, hw)
  return {'ok', hw}
end

local function entries(lineage)
  local list = {}
  for p in string.gmatch(lineage, '%d+%-%d+/%S*') do table.insert(list, p) end
  return list
end

local function epoch_of(p)
  return string.match(p, '^%d+') .. string.match(p, '/.*$')
end

-- Ours up to the last entry that theirs has, too; empty: there is none.
local function shared(ours, theirs)
  local last = {}
  for _, p in ipairs(theirs) do last[epoch_of(p)] = p end
  for i, p in ipairs(ours) do
    local q = last[epoch_of(p)]
    if q then return {is_before(q, p) and q or p, unpack(ours, i + 1)} end
  end
  return {}
end

-- How long nodes have been waited for: since the first that came to this master
-- and without a pause, in which others may have been forgotten.
local function waited_ms(replid, t)
  local w = redis.call('HMGET', KEYS[3], 'new', 'since', 'asked')
  local since, asked = tonumber(w[2] or '0'), tonumber(w[3] or '0')
  if w[1] ~= replid or not since or since > t or not asked or
      t - asked > PAUSE_MS then
    since = t
  end
  redis.call('HSET', KEYS[3], 'new', replid, 'since', text(since),
    'asked', text(t))
  return t - since
end

-- Above all that nodes know of, whichever master's: ids that clients have seen
-- are never given out again, and what is new stands behind them.
local function next_epoch(s, list)
  local epoch = s.epoch
  for _, other in ipairs(list) do epoch = math.max(epoch, other.epoch) end
  return epoch + 1
end

-- A log that is gone, or older than the caller can go back to (HORIZON), begins
-- anew with the last entry that all nodes have which are there, but for those
-- that have less than others can go back to: what one has not applied is in no
-- log any more. The others take back what they have more, and its origins send
-- it again. Nil: it has begun; else the answer.
local function found(s, replid, t, list)
  local at, base = string.match(ARGV[4], '^%S+'), ARGV[10]
  if waited_ms(replid, t) < GATHER_MS then return {'wait'} end
  local limit = ARGV[5]
  for _, other in ipairs(list) do
    if other.age < GATHER_MS and is_before(limit, other.horizon) then
      limit = other.horizon
    end
  end
  if is_before(at, limit) then return {'wait'} end
  local common, least = entries(ARGV[4]), at
  for _, other in ipairs(list) do
    if other.age < GATHER_MS and not is_before(other.at, limit) then
      common = shared(common, entries(other.lineage))
      if is_before(other.at, least) then least = other.at end
    end
  end
  if #common > 0 and not is_before(common[1], limit) then least = common[1] end
  if base ~= least then return {'wait', least} end
  redis.call('DEL', KEYS[1], KEYS[2])
  begin_epoch({epoch = 0, n = 0}, next_epoch(s, list), base, replid, ARGV[7])
  redis.call('HSET', KEYS[1], 'name', ARGV[6])
  for i = 11, #ARGV, 2 do
    redis.call('HSET', KEYS[1], 'hw:' .. ARGV[i], ARGV[i + 1])
  end
  redis.call('HDEL', KEYS[3], 'new')
  return nil
end

-- Another master may have begun an epoch of the same number, of which this one
-- knows nothing: the nodes do. So a new one begins when all that have not ended
-- have said where they are. How long ago this master has heard of them says
-- nothing: it may have been out of touch.
local function is_gathered(replid, t, list)
  if waited_ms(replid, t) >= GATHER_MS then return true end
  for _, other in ipairs(list) do
    if other.owner and other.met ~= replid then return false end
  end
  return true
end

-- Does the node come from another master's epoch, which this one's are not
-- above?
local function is_stranger(s, at, highest)
  local epoch, tag = read_position(at), string.match(at, '/(.+)$')
  return math.max(epoch, highest) > s.epoch or
    (epoch == s.epoch and tag and tag ~= s.tag)
end

-- meet NODE OWNER LINEAGE HORIZON NAME VERSION WANT HIGHEST BASE, then ORIGIN
-- SEQ of each origin that the caller had applied when BASE was its last entry:
-- it is there, and has applied what LINEAGE says, "AT ENTRY ...". OWNER is what
-- no other database has.
--   twice OWNER        another one has that name
--   wait [ENTRY]       there is no log yet; it begins when ENTRY is BASE
--   ok HW LAST NAME NODES EPOCHS   HW: as in `behind`; NODES: {NODE, AT, age};
--                      EPOCHS, if WANT is 1: {EPOCH, TAG, BASE}
local function meet()
  local owner, horizon = ARGV[3], ARGV[5]
  local at = string.match(ARGV[4], '^%S+')
  local t = now_ms()
  local kind = redis.call('TYPE', KEYS[2]).ok
  if kind ~= 'stream' and kind ~= 'none' then
    error('WRONGTYPE ' .. KEYS[2] .. ' is a ' .. kind, 0)
  end
  local s = state()
  local replid = replication_id()
  local who = redis.call('HMGET', KEYS[3], node .. ':owner', node .. ':seen')
  if who[1] and who[1] ~= owner and t - (tonumber(who[2]) or 0) < LEASE_MS then
    return {'twice', who[1]}
  end
  redis.call('HSET', KEYS[3], node .. ':owner', owner,
    node .. ':seen', text(t), node .. ':at', at,
    node .. ':horizon', horizon, node .. ':met', replid,
    node .. ':lineage', ARGV[4], node .. ':highest', ARGV[9])
  local list = nodes(t)
  local last = position(s.epoch, s.n) .. '/' .. s.tag
  if s.epoch == 0 or (s.replid ~= replid and is_before(last, horizon)) then
    local answer = found(s, replid, t, list)
    if answer then return answer end
    s = state()
  elseif s.replid ~= replid or s.n >= ENTRIES - 100000 or
      is_stranger(s, at, tonumber(ARGV[9])) then
    if s.replid ~= replid and not is_gathered(replid, t, list) then
      return {'wait'}
    end
    begin_epoch(s, next_epoch(s, list), last, replid, ARGV[7])
    s = state()
  end
  local epochs, others = {}, {}
  if ARGV[8] == '1' then
    for e = s.epoch, math.max(1, s.epoch - EPOCHS_KEPT + 1), -1 do
      local how = redis.call('HGET', KEYS[1], 'e:' .. text(e))
      if how then
        local tag, base = string.match(how, '^(%S+) (%S+)$')
        table.insert(epochs, {text(e), tag, base})
      end
    end
  end
  for _, other in ipairs(list) do
    table.insert(others, {other.name, other.at, text(other.age)})
  end
  return {'ok', redis.call('HGET', KEYS[1], 'hw:' .. node) or '0',
    position(s.epoch, s.n) .. '/' .. s.tag, s.name, others, epochs}
end

if op == 'push' then return push() end
if op == 'meet' then return meet() end
-- mend: what no relay has written is taken out. ok N: so many; stale.
if op == 'mend' then
  local s = state()
  if s.epoch == 0 then return {'stale'} end
  return {'ok', text(mend(s))}
end
-- part NODE: it stops, and its name is free.
if op == 'part' then
  redis.call('HDEL', KEYS[3], node .. ':owner')
  return {'ok'}
end
return redis.error_reply('ERR no such operation')
