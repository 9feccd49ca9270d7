-- What has landed under a key, or the right to fetch it. Called by caching/flights.py for everybody who wants it.
-- KEYS: the value, its lead, the cuts. ARGV: the caller's token, the lead's lease, a period or 0, the value's labels.
-- A value is `since:payload`: when its flight began. A cut of one of its labels, or a period that has ended, makes void
-- what began before. Moments and the period are in microseconds of this clock, the lease is in milliseconds.
-- Returns {since, payload}, or {now} to who leads from now on, or {} while somebody else does.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local value = redis.call('GET', KEYS[1])
if value then
    local colon = string.find(value, ':', 1, true)
    local since, void = tonumber(string.sub(value, 1, colon - 1)), -1
    local period = tonumber(ARGV[3])
    if period > 0 then
        void = now - now % period - 1
    end
    if #ARGV > 3 then
        for _, at in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, 4))) do
            void = math.max(void, tonumber(at or -1))
        end
    end
    if since > void then
        return {since, string.sub(value, colon + 1)}
    end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return {now}
end
return {}
