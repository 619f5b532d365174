-- ARGV[6..8]: epoch, sequence to read after, most changes.
-- Answers the changes; false when they cannot all be had.
local epoch, seq, floor = stand(KEYS[1])
local after = tonumber(ARGV[7])
if epoch ~= ARGV[6] or after < floor or after > seq then return false end
local fields = {}
for n = after + 1, math.min(seq, after + tonumber(ARGV[8])) do
  fields[#fields + 1] = n
end
if #fields == 0 then return {} end
return redis.call('HMGET', KEYS[1], unpack(fields))
