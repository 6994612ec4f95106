"""The one script: what happens to a key when a row arrives (laws 2 and 8). docs/decisions/0002-row-format.md says why.

EVALSHA with n keys; arguments: mode, `through` (8 bytes), now and span (microseconds; span is ttl + grace, -1 for none), the
life of a tombstone (milliseconds), then n items (header + values); mode `t` adds n retracted versions (16 bytes: event_timestamp,
ingested_at; or empty). Reply, one character a key: `1` written, `0` nothing to do, `2` the writer knows less than the key.

Modes:
    b  a changed row, as of the batch stamp in its header
    f  the newest row of the entity, as of the stamp (full sync)
    t  the newest row of the entity, or a tombstone, after a retraction, as of the stamp
    s  a row of a stream; its header's stamp is the commit up to which its writer had read the ledger

`through`: the batch owns every slot before it; there its answer holds, whatever a stream wrote. From `through` on the greater
(event_timestamp, ingested_at) wins, and equal values in one slot keep the earlier ingested_at.

Numbers are compared in halves of 32 bits, because Lua's are exact to 2^53 only; never as strings: their order follows the locale.
"""

from __future__ import annotations

import hashlib

BATCH, FULL, TRUTH, STREAM = b"b", b"f", b"t", b"s"
WRITTEN, IGNORED, REFRESH = b"1"[0], b"0"[0], b"2"[0]

SCRIPT = rb"""
local mode, through = ARGV[1], ARGV[2]
local now, span, life = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local u, sub, call, n = struct.unpack, string.sub, redis.call, #KEYS
local F = '>i4I4i4I4i4I4'
local th, tl = u('>i4I4', through)
local out, cur = {}, nil
if mode ~= 't' then cur = call('MGET', unpack(KEYS)) end

local function less(ah, al, bh, bl) return ah < bh or (ah == bh and al < bl) end

local function put(key, v, stamp, eh, el, absent)
  local raw = v
  if stamp then raw = sub(v, 1, 26) .. stamp .. sub(v, 35) end
  if #raw == 34 then call('SET', key, raw, 'PX', life) return '1' end
  if span < 0 then call('SET', key, raw) return '1' end
  local left = math.ceil((eh * 4294967296 + el + span - now) / 1000)
  if left > 0 then call('SET', key, raw, 'PX', string.format('%.0f', math.min(left, 1e14))) return '1' end
  if absent and mode ~= 't' then return '0' end
  call('SET', key, sub(raw, 1, 34), 'PX', life)
  return '1'
end

for i = 1, n do
  local key, v = KEYS[i], ARGV[5 + i]
  local c
  if cur then c = cur[i] else c = call('GET', key) end
  local eh, el, ih, il, sh, sl = u(F, v, 11)
  local code = '0'
  if not c then
    code = put(key, v, mode == 's' and '\0\0\0\0\0\0\0\0', eh, el, true)
  else
    local ceh, cel, cih, cil, csh, csl = u(F, c, 11)
    local cstamp = mode == 's' and sub(c, 27, 34)
    if less(sh, sl, csh, csl) then
      if mode == 's' then code = '2' end
    elseif #c == 34 then
      code = put(key, v, cstamp, eh, el, mode == 's')
    else
      local owned = mode ~= 's' and less(ceh, cel, th, tl)
      if mode == 't' and ARGV[5 + n + i] == sub(c, 11, 26) then owned = true end
      local wins
      if #v == 34 then
        wins = owned
      elseif owned and mode ~= 'b' then
        wins = true
      elseif ceh ~= eh or cel ~= el then
        wins = less(ceh, cel, eh, el)
      elseif owned then
        wins = true
      elseif sub(v, 1, 10) == sub(c, 1, 10) and sub(v, 35) == sub(c, 35) then
        wins = less(ih, il, cih, cil)
      else
        wins = not less(ih, il, cih, cil)
      end
      if wins then
        code = put(key, v, cstamp, eh, el, mode == 's')
      elseif mode == 'f' or mode == 't' then
        call('SET', key, sub(c, 1, 26) .. sub(v, 27, 34) .. sub(c, 35), 'KEEPTTL')
      end
    end
  end
  out[i] = code
end
return table.concat(out)
"""
SHA = hashlib.sha1(SCRIPT).hexdigest().encode()
