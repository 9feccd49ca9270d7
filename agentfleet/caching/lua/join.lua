-- What has landed under a key, or the right to fetch it. Called by caching/flights.py for everybody who wants it.
-- KEYS: the value, its lead, the cuts. ARGV: the caller's token, the lead's lease in ms, the value's labels.
-- A value is `since:payload`: when its flight began, in ms of this clock. A cut makes all that began before it void.
-- Returns {since, payload}, or {now} to who leads from now on, or {} while somebody else does.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local value = redis.call('GET', KEYS[1])
if value then
    local colon = string.find(value, ':', 1, true)
    local since, cut = tonumber(string.sub(value, 1, colon - 1)), -1
    if #ARGV > 2 then
        for _, at in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, 3))) do
            cut = math.max(cut, tonumber(at or -1))
        end
    end
    if since > cut then
        return {since, string.sub(value, colon + 1)}
    end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return {now}
end
return {}
