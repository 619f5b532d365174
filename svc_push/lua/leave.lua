-- ARGV[6..7]: process, streams of the viewer that it still has.
local log, online, process, streams = KEYS[1], KEYS[2], ARGV[6], ARGV[7]
if redis.call('EXISTS', online) == 0 then return 0 end
if streams == '0' then
  redis.call('HDEL', online, 'p:' .. process)
else
  hold(online, process, streams)
end
keep(log, online)
return 1
