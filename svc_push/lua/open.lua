-- ARGV[6..8]: process, its streams of the viewer, most streams over all processes.
-- Answers epoch, sequence, floor, checked; false when there would be too many streams.
local log, online, process = KEYS[1], KEYS[2], ARGV[6]
local names, streams = holders(online)
local total = tonumber(ARGV[7])
for _, name in ipairs(names) do
  if name ~= process then total = total + streams[name] end
end
if total > tonumber(ARGV[8]) then return false end

local epoch, seq, floor = renewed(log, online)
redis.call('HSETNX', online, 'checked', NOW)
hold(online, process, ARGV[7])
keep(log, online)
return {epoch, seq, floor, redis.call('HGET', online, 'checked')}
