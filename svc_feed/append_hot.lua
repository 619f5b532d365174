-- KEYS hot feeds · ARGV[1] one packed entry · ARGV[2] longest value · ARGV[3] bytes kept
--
-- A hot feed is a head of 16 bytes (its floor, and a build number that is 0 once it is
-- built) and packed entries in order of arrival. Appends to those that exist. One that
-- is longer than ARGV[2] is cut to its last ARGV[3] bytes, and its floor rises to the
-- highest id cut off, since below that it is no longer whole. Ids are compared in two
-- halves: a Lua number cannot hold 63 bits, and strings compare by locale.
local entry, longest, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 1, #KEYS do
  local key = KEYS[i]
  if redis.call('STRLEN', key) >= 16 then
    if redis.call('APPEND', key, entry) > longest then
      local value = redis.call('GET', key)
      local high, low, build_high, build_low = struct.unpack('>I4I4I4I4', value)
      for at = 17, #value - kept, 16 do
        local a, b = struct.unpack('>I4I4', value, at)
        if a > high or (a == high and b > low) then
          high, low = a, b
        end
      end
      local head = struct.pack('>I4I4I4I4', high, low, build_high, build_low)
      redis.call('SET', key, head .. string.sub(value, -kept), 'KEEPTTL')
    end
  end
end
return #KEYS
