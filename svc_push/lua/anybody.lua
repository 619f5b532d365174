-- KEYS[1]: the key that lives while anybody is online lately. ARGV: token to begin
-- with, how long. All logs carry the token: where the key was lost, changes may have
-- been left out since, and no log is good any more.
local token = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token
