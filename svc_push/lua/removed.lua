-- Answers the authors who left and are not back, by what the log last said of them.
local log, answer = KEYS[1], {}
if not stand(log) then return answer end
local fields = redis.call('HGETALL', log)
for i = 1, #fields, 2 do
  local author = string.match(fields[i], '^u(%d+)$')
  if author and string.match(fields[i + 1], ':x:') then
    answer[#answer + 1] = author
  end
end
return answer
