-- The head of every script over reader logs.
--
-- KEYS are pairs of log:{viewer}, online:{viewer}. A log is one hash, so that it is
-- lost whole or not at all:
--   run, epoch, seq, floor   where it stands
--   <sequence>               kind:post:author:version:occurred:kept (in Unix ms)
--   p<post>, u<author>       version:kind:sequence of what it last said of them
-- A mark is a hash too:
--   p:<process>              seen:streams, of each process that holds the viewer
--   checked                  until when celebrities' posts are known to be in the log
--
-- ARGV: token of all logs, a fresh epoch, now, how long logs and marks are kept, how
-- long a process that says nothing is believed to be there; then those of the script.
local EPOCH, NOW, TTL, FRESH = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

-- An engine that came back with an old snapshot would hand out sequences again: its
-- logs carry the id of another run, and are not read any more.
-- So do those of another form: 2 is that of the marks above.
local RUN = '2/' .. ARGV[1] .. '/' .. string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

-- Epoch, newest sequence and floor of a log; nothing where there is none to be read.
local function stand(log)
  local found = redis.call('HMGET', log, 'run', 'epoch', 'seq', 'floor')
  if found[1] ~= RUN then return nil end
  return found[2], tonumber(found[3]), tonumber(found[4])
end

-- The same; begins the log anew where there is none to be read.
local function renewed(log, online)
  local epoch, seq, floor = stand(log)
  if epoch then return epoch, seq, floor end
  redis.call('DEL', log)
  redis.call('HSET', log, 'run', RUN, 'epoch', EPOCH, 'seq', 0, 'floor', 0)
  redis.call('PEXPIRE', log, TTL)
  redis.call('HSET', online, 'checked', NOW)
  return EPOCH, 0, 0
end

-- The processes that hold a viewer, and how many streams each has.
local function holders(online)
  local names, streams = {}, {}
  local mark = redis.call('HGETALL', online)
  for i = 1, #mark, 2 do
    local process = string.match(mark[i], '^p:(.+)$')
    if process then
      local seen, count = string.match(mark[i + 1], '^(%d+):(%d+)$')
      if NOW - tonumber(seen) > FRESH then
        redis.call('HDEL', online, mark[i])
      else
        names[#names + 1] = process
        streams[process] = tonumber(count)
      end
    end
  end
  return names, streams
end

-- A log and its mark live equally long.
local function keep(log, online)
  redis.call('PEXPIRE', log, TTL)
  redis.call('PEXPIRE', online, TTL)
end

local function hold(online, process, streams)
  redis.call('HSET', online, 'p:' .. process, string.format('%.0f:%s', NOW, streams))
end
