-- KEYS[1]: whom a viewer follows. ARGV: what to note, how long. Answers what was noted.
return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'GET')
