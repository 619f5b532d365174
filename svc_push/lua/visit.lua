-- ARGV[6]: checked, or empty. Answers as open does.
local log, online = KEYS[1], KEYS[2]
local epoch, seq, floor = renewed(log, online)
redis.call('HSETNX', online, 'checked', NOW)
if ARGV[6] ~= '' then redis.call('HSET', online, 'checked', ARGV[6]) end
keep(log, online)
return {epoch, seq, floor, redis.call('HGET', online, 'checked')}
