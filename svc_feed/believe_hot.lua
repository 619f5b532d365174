-- KEYS[1] the generation that is believed · ARGV[1] the one to believe from now on
--
-- Never goes back: two workers may tell in any order.
local old = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > old then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
