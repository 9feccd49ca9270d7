-- Make void what began before now and has one of these labels. Called by caching/shelf.py.
-- KEYS: the cuts. ARGV: how long they are kept in ms, labels. Nothing lives longer than they are kept.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])  -- microseconds
for label = 2, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[label], now)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return now
