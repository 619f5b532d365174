-- KEYS[1] a hot feed · ARGV[1] its build number, packed · ARGV[2] new head · ARGV[3]
-- packed entries of the index · ARGV[4] seconds to live
--
-- Puts what the index held before what was appended while it was read. The floor is
-- the higher one, in case so much was appended that some was cut off.
local value = redis.call('GET', KEYS[1])
if not value or #value < 16 or string.sub(value, 9, 16) ~= ARGV[1] then
  return 0
end
local head = ARGV[2]
local high, low = struct.unpack('>I4I4', value)
local new_high, new_low = struct.unpack('>I4I4', head)
if high > new_high or (high == new_high and low > new_low) then
  head = string.sub(value, 1, 8) .. string.sub(head, 9, 16)
end
redis.call('SET', KEYS[1], head .. ARGV[3] .. string.sub(value, 17), 'EX', ARGV[4])
return 1
