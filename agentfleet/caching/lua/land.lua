-- Put an answer on the shelf, which never holds more than its cap: what would expire next makes room.
-- Called by caching/shelf.py. KEYS: the value, the index (sorted set of `size:key` by expiry), the bytes, the counts.
-- ARGV: when its flight began (microseconds), the payload, its lifetime, the cap in bytes, how long the books are kept, what to count.
-- Other times are milliseconds.
local value, index, bytes = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function drop(entry)
    local colon = string.find(entry, ':', 1, true)
    if redis.call('ZREM', index, entry) == 1 then
        redis.call('DECRBY', bytes, string.sub(entry, 1, colon - 1))
    end
    redis.call('DEL', string.sub(entry, colon + 1))
end

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do
    drop(entry)
end
drop(redis.call('STRLEN', value) .. ':' .. value)

local payload = ARGV[1] .. ':' .. ARGV[2]
while tonumber(redis.call('GET', bytes) or 0) + #payload > tonumber(ARGV[4]) do
    local next_to_go = redis.call('ZRANGE', index, 0, 0)[1]
    if not next_to_go then
        redis.call('SET', bytes, 0)
        break
    end
    drop(next_to_go)
end

redis.call('SET', value, payload, 'PX', ARGV[3])
redis.call('INCRBY', bytes, redis.call('ZADD', index, now + ARGV[3], #payload .. ':' .. value) * #payload)
redis.call('HINCRBY', KEYS[4], ARGV[6], 1)
for book = 2, 4 do
    redis.call('PEXPIRE', KEYS[book], ARGV[5])
end
return 1
