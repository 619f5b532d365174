-- ARGV[6]: process; then streams and checked (or empty) for each viewer.
-- Answers epoch and sequence for each viewer.
local answer = {}
for i = 1, #KEYS, 2 do
  local log, online = KEYS[i], KEYS[i + 1]
  local epoch, seq = renewed(log, online)
  redis.call('HSETNX', online, 'checked', NOW)
  if ARGV[i + 7] ~= '' then redis.call('HSET', online, 'checked', ARGV[i + 7]) end
  hold(online, ARGV[6], ARGV[i + 6])
  keep(log, online)
  answer[i] = epoch
  answer[i + 1] = seq
end
return answer
