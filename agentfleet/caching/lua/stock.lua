-- What is on the shelf. Called by caching/shelf.py. KEYS: the index, the bytes, the counts.
-- Returns the number of answers, their bytes, and the counts as name, value, name, value ...
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {
    redis.call('ZCOUNT', KEYS[1], now, '+inf'), tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('HGETALL', KEYS[3])
}
