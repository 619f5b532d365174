-- KEYS[1] a hot feed · ARGV[1] head of a build under way · ARGV[2] seconds to live ·
-- ARGV[3] tag of a whole hot feed of this life of Valkey
--
-- A hot feed of another life may lack what was appended in between: it is replaced.
local old = redis.call('GETRANGE', KEYS[1], 8, 15)
if old == ARGV[3] or (old ~= '' and string.byte(old) >= 128) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
