"""The steps of Redis about leases, as scripts. A script takes many calls at once, and replies to each.

A marked lease (`!` behind its token) has a process waiting for a message. The error of one call is none of the others',
hence `pcall`: an error is one reply of many. In a cluster all keys of one call share a slot, and calls go one by one.
"""

from __future__ import annotations

from proxy.redis.pipelining import Script

LOOK = Script(
    """
local entries, replies = {}, {}
for call = 1, #KEYS / 3 do entries[call] = KEYS[3 * call - 2] end
entries = redis.call('mget', unpack(entries))
local function take(key, call)
  local reply = redis.pcall('set', key, ARGV[2 * call - 1], 'nx', 'px', ARGV[2 * call])
  return not reply and 0 or reply.ok and 1 or reply
end
for call = 1, #KEYS / 3 do
  local lease, turn = KEYS[3 * call - 1], KEYS[3 * call]
  replies[call] = entries[call] or take(lease, call)
  if replies[call] == 1 and turn ~= lease and take(turn, call) == 1 then replies[call] = 2 end
end
return replies
""",
    keys=3,
)
"""Reads an entry; where there is none, takes the lease beside it, and then the turn, as far as they are free.

KEYS: entry, lease, turn (the lease again for none). ARGV: token, milliseconds. Replies with the entry, 2 for lease and
turn, 1 for the lease alone, 0 for a lease that is another's, an error where none can be had."""

TAKE = Script(
    """
local function take(lease, key, token, ms)
  local reply = redis.pcall('set', lease, token, 'nx', 'px', ms)
  if not reply then
    local holder, ttl = redis.pcall('get', lease), redis.pcall('pttl', lease)
    if type(holder) == 'string' and ttl >= 0 and ttl <= tonumber(ms) then
      if string.sub(holder, -1) ~= '!' then redis.pcall('append', lease, '!') end
      return {0, ''}
    end
    reply = redis.pcall('set', lease, token, 'px', ms)
  end
  if not reply.ok then return reply end
  local entry = redis.pcall('get', key)
  return {1, type(entry) == 'string' and entry or ''}
end
local replies = {}
for call = 1, #KEYS / 2 do
  replies[call] = take(KEYS[2 * call - 1], KEYS[2 * call], ARGV[2 * call - 1], ARGV[2 * call])
end
return replies
""",
    keys=2,
)
"""Takes a lease, or marks it where it is another's.

KEYS: lease, entry. ARGV: token, milliseconds. Replies with 1 and the entry, 0 for a lease that is another's, an error
where none can be had. A lease without an end, or with a later one than ours ever have, is none of ours: it would be
waited for in vain."""

LET_GO = Script(
    """
local leases, over, replies = {}, {}, {}
for call = 1, #KEYS / 2 do leases[call] = KEYS[2 * call - 1] end
local holders = redis.call('mget', unpack(leases))
for call = 1, #KEYS / 2 do
  local token, channel, status, message, entry, ms = unpack(ARGV, 6 * call - 5, 6 * call)
  local key, holder = KEYS[2 * call], holders[call]
  replies[call] = 0
  if not holder or holder == token or holder == token .. '!' then
    local is_old = false
    if tonumber(ms) > 0 then
      local words = {'set', key, entry, 'px', ms}
      if not holder then words[6] = 'nx' end
      local reply = redis.pcall(unpack(words))
      is_old = not reply
      if reply and reply.err then status = '-' end
    end
    if not is_old then
      if holder ~= token then redis.pcall('publish', channel, key .. ' ' .. status .. message) end
      over[#over + 1], replies[call] = leases[call], 1
    end
  end
end
if #over > 0 then redis.call('del', unpack(over)) end
return replies
""",
    keys=2,
)
"""Keeps the outcome, lets go and tells those who wait; not where another leads by now, or has led and kept its own.

Who comes after its lease has ended, and finds nobody else's, keeps its outcome only where nothing stands: a successor
may have come and gone meanwhile.

KEYS: lease, entry. ARGV: token, channel, status, message, value, milliseconds (0 for nothing to keep). Replies with 1
where that was done."""

RENEW = """
local holder = redis.call('get', KEYS[1])
if holder ~= ARGV[1] and holder ~= ARGV[1] .. '!' then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""
