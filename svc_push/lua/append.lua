-- ARGV[6..11]: kind, post, author, occurred, most changes, how long each is kept.
-- Answers four values for each viewer online lately: which of KEYS, epoch, sequence,
-- processes separated by spaces.
local kind, post = ARGV[6], ARGV[7]
local most, retention = tonumber(ARGV[10]), tonumber(ARGV[11])
local entry = string.format('%s:%s:%s:%s:%.0f', kind, post, ARGV[8], ARGV[9], NOW)
local mark, gone = kind .. post, 'r' .. post

-- Drops the oldest changes while there are too many, or they are too old.
local function trim(log, seq, floor)
  local first = floor
  while floor < seq do
    local oldest = redis.call('HGET', log, floor + 1)
    local what, which, kept = string.match(oldest, '^(%a):(%d+):%d+:%d+:(%d+)$')
    if seq - floor <= most and NOW - tonumber(kept) <= retention then break end
    floor = floor + 1
    redis.call('HDEL', log, floor, what .. which)
  end
  if floor > first then redis.call('HSET', log, 'floor', floor) end
end

local answer = {}
for i = 1, #KEYS, 2 do
  local log, online = KEYS[i], KEYS[i + 1]
  if redis.call('EXISTS', online) == 1 then
    local epoch, seq, floor = renewed(log, online)
    local known = redis.call('HMGET', log, mark, gone)
    local place = known[1]
    if not place and not known[2] then
      place = seq + 1
      redis.call('HSET', log, 'seq', place, place, entry, mark, place)
      trim(log, place, floor)
    end
    if place then
      answer[#answer + 1] = i
      answer[#answer + 1] = epoch
      answer[#answer + 1] = tonumber(place)
      answer[#answer + 1] = table.concat((holders(online)), ' ')
    end
  end
end
return answer
