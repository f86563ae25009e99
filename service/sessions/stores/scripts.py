"""What a Valkey or Redis server runs for us, so that a comparison and what follows from it are one step: four scripts in Lua.

Keys: an index first, a sorted set of the keys of live records by when they expire (milliseconds since 1970, the store's clock),
then one key for each record. All carry one hash tag, so that they stay together. A record that has expired stays for `grace`
milliseconds, so that its client can be told what became of it.

The run of the store is asked for in the script, once for all its records: what was written by an earlier run is known by it.
"""

from __future__ import annotations

from typing import Final

from cellserve.service.sessions.stores.record import Kind
from cellserve.service.sessions.stores.store import LIVE, RUN_BYTES, STAMP_BYTES

REFUSED: Final = b""

_RUN: Final = f"""
local run = string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, {RUN_BYTES})
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# ARGV: grace, most live records (0: any number), then for each key: expected stamp, content, milliseconds ('': for ever), flags:
# b(egins), a(ccepts a stamp of an earlier run). Gives the stamp of each record as it is now, '' where it was refused.
WRITE: Final = f"""{_RUN}
local grace, most, index = tonumber(ARGV[1]), tonumber(ARGV[2]), KEYS[1]
local stamps = {{}}
local function expired(key)
  local left = redis.call('PTTL', key)
  return left >= 0 and left <= grace
end
for number = 2, #KEYS do
  local key, at = KEYS[number], 3 + (number - 2) * 4
  local expected, content, left, flags = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local present = redis.call('GETRANGE', key, 0, {STAMP_BYTES - 1})
  local over = #present == {STAMP_BYTES} and string.byte(present, {STAMP_BYTES}) ~= {LIVE}
  local known = present == expected or (expected == '' and over)
  local begins, live = string.find(flags, 'b'), string.byte(content, {STAMP_BYTES - RUN_BYTES}) == {LIVE}
  local of_this_run = expected == '' or string.find(flags, 'a') or string.sub(expected, 1, {RUN_BYTES}) == run
  if #present == {STAMP_BYTES} and string.sub(present, {RUN_BYTES + 1}) == string.sub(content, 1, {STAMP_BYTES - RUN_BYTES}) then
    stamps[number - 1] = present -- it was sent twice, and has arrived
  elseif not (known and of_this_run) or (present ~= '' and not begins and expired(key)) then
    stamps[number - 1] = ''
  else
    if begins and live and most > 0 and not redis.call('ZSCORE', index, key) then
      redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', now))
      while redis.call('ZCARD', index) >= most do
        local first = redis.call('ZPOPMIN', index)[1]
        if redis.call('EXISTS', first) == 1 then
          redis.call('SETRANGE', first, {STAMP_BYTES - 1}, string.char({int(Kind.EVICTED)}))
          redis.call('PEXPIRE', first, grace)
        end
      end
    end
    if left then
      redis.call('SET', key, run .. content, 'PX', string.format('%.0f', left + grace))
    else
      redis.call('SET', key, run .. content)
    end
    if live then
      redis.call('ZADD', index, left and string.format('%.0f', now + left) or '+inf', key)
    else
      redis.call('ZREM', index, key)
    end
    stamps[number - 1] = run .. string.sub(content, 1, {STAMP_BYTES - RUN_BYTES})
  end
end
return stamps
"""

# Gives content (nil: nothing), milliseconds until it is deleted (below 0: never), run.
LOAD: Final = f"""{_RUN}
return {{redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), run}}
"""

# ARGV: bytes of each head. Gives for each key its head and the milliseconds until it is deleted.
HEADS: Final = """
local found = {}
for number = 1, #KEYS do
  found[number] = {redis.call('GETRANGE', KEYS[number], 0, ARGV[1] - 1), redis.call('PTTL', KEYS[number])}
end
return found
"""

# Gives how many live records there are.
COUNT: Final = f"""{_RUN}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZCARD', KEYS[1])
"""
