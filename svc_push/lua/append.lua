-- ARGV[6..13]: kind, post, author, version, occurred, 1 where it was noticed, most
-- changes, how long each is kept.
-- Kinds: a and r, a post is added or removed; x and z, an author left or is back.
-- Answers four values for each viewer online lately: which of KEYS, epoch, sequence,
-- processes separated by spaces.
local kind, post, author = ARGV[6], ARGV[7], ARGV[8]
local version = tonumber(ARGV[9])
local noticed = ARGV[11] == '1'
local most, retention = tonumber(ARGV[12]), tonumber(ARGV[13])
local ofpost = kind == 'a' or kind == 'r'
local subject = ofpost and 'p' .. post or 'u' .. author
local entry = table.concat({kind, post, author, ARGV[9], ARGV[10]}, ':')
  .. string.format(':%.0f', NOW)

local function parsed(mark)
  if not mark then return nil end
  local known, what, place = string.match(mark, '^(%d+):(%a):(%d+)$')
  return tonumber(known), what, tonumber(place)
end

-- Drops the oldest changes while there are too many, or they are too old. That an
-- author left is remembered beyond its entry: until they are back, or the log ends.
local function trim(log, seq, floor)
  local first = floor
  while floor < seq do
    local oldest = redis.call('HGET', log, floor + 1)
    local what, which, whose, kept =
      string.match(oldest, '^(%a):(%d+):(%d+):%d+:%d+:(%d+)$')
    if seq - floor <= most and NOW - tonumber(kept) <= retention then break end
    floor = floor + 1
    redis.call('HDEL', log, floor)
    local mark = (what == 'a' or what == 'r') and 'p' .. which or 'u' .. whose
    local _, _, place = parsed(redis.call('HGET', log, mark))
    if place == floor and what ~= 'x' then redis.call('HDEL', log, mark) end
  end
  if floor > first then redis.call('HSET', log, 'floor', floor) end
end

-- Where the change stands already; false for nowhere, and it is to be left out; nil
-- where it is to be appended. Also answers the version to remember.
local function standing(log, floor)
  local marks = redis.call('HMGET', log, subject, 'u' .. author)
  local known, what, place = parsed(marks[1])
  if kind == 'a' then
    local _, left = parsed(marks[2])
    if left == 'x' then return false end
  end
  if not known then
    if kind == 'z' then return false end
    return nil, version
  end
  if what == kind and (ofpost or kind == 'z' or noticed or version <= known) then
    if version > known then
      redis.call('HSET', log, subject, string.format('%.0f:%s:%.0f', version, kind, place))
    end
    return place > floor and place
  end
  if version > known or noticed then
    return nil, math.max(version, known)
  end
  return false
end

local answer = {}
for i = 1, #KEYS, 2 do
  local log, online = KEYS[i], KEYS[i + 1]
  if redis.call('EXISTS', online) == 1 then
    local epoch, seq, floor = renewed(log, online)
    local place, remembered = standing(log, floor)
    if place == nil then
      place = seq + 1
      local mark = string.format('%.0f:%s:%.0f', remembered, kind, place)
      redis.call('HSET', log, 'seq', place, place, entry, subject, mark)
      trim(log, place, floor)
    end
    if place then
      answer[#answer + 1] = i
      answer[#answer + 1] = epoch
      answer[#answer + 1] = place
      answer[#answer + 1] = table.concat((holders(online)), ' ')
    end
  end
end
return answer
