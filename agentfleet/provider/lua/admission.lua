-- Admission in one atomic step: agentfleet/domain/admission.py in Lua, function by function; read it there first.
-- KEYS: the bucket's hash, its account's gate's hash.
-- ARGV: the operation, the time in seconds ('' for the server's own), the pace as 9 numbers, then what the operation takes.
local FAILURES_TO_SHUT, SLOWER, SLOWEST, LONGEST_RAMP = 3, 0.7, 0.05, 240
local UNLIMITED, ASSUMED, KEPT = 1e12, {60, 60000, 12000}, 86400

local function number(text) return tonumber(text) end
local function text(value) return string.format('%.17g', value) end

local now = number(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = number(time[1]) + number(time[2]) / 1000000
end
local pace = {
    burst = number(ARGV[3]), ramp_start = number(ARGV[4]), ramp = number(ARGV[5]), idle = number(ARGV[6]),
    probe = number(ARGV[7]), turn = number(ARGV[8]), caps = {number(ARGV[9]), number(ARGV[10]), number(ARGV[11])},
}
local at_argument = 11
local function argument()
    at_argument = at_argument + 1
    return ARGV[at_argument]
end
local function axes() return {number(argument()), number(argument()), number(argument())} end
local function told()  -- '' for what the provider did not say
    local found = {}
    for axis = 1, 3 do found[axis] = number(argument()) or false end
    return found
end

local function plus(a, b) return {a[1] + b[1], a[2] + b[2], a[3] + b[3]} end
local function minus(a, b) return {a[1] - b[1], a[2] - b[2], a[3] - b[3]} end
local function times(a, factor) return {a[1] * factor, a[2] * factor, a[3] * factor} end
local function lowest(a, b) return {math.min(a[1], b[1]), math.min(a[2], b[2]), math.min(a[3], b[3])} end
local function is_nothing(a) return a[1] == 0 and a[2] == 0 and a[3] == 0 end
local function capacity(limits)
    local all = times(limits, pace.burst / 60)
    return {math.max(1, all[1]), math.max(1, all[2]), math.max(1, all[3])}
end

local NUMBERS = {'at', 'used_at', 'ramp_at', 'ramp_from', 'ramp_for', 'known', 'failing', 'until', 'every',
    'look_at', 'since', 'queued_until', 'reads_count'}
local TRIPLES = {'limits', 'levels', 'queued'}

local function load()
    local found, bucket = redis.call('HGETALL', KEYS[1]), {}
    if #found == 0 then
        local limits = lowest(ASSUMED, pace.caps)
        return {
            limits = limits, levels = capacity(limits), queued = {0, 0, 0}, at = now, used_at = now, ramp_at = now,
            ramp_from = pace.ramp_start, ramp_for = pace.ramp, known = 0, failing = 0, ['until'] = 0, every = 0,
            look_at = 0, since = 0, queued_until = 0, reads_count = 0,
        }
    end
    local values = {}
    for index = 1, #found, 2 do values[found[index]] = number(found[index + 1]) end
    for _, name in ipairs(NUMBERS) do bucket[name] = values[name] or 0 end
    for _, name in ipairs(TRIPLES) do bucket[name] = {values[name .. 1], values[name .. 2], values[name .. 3]} end
    return bucket
end

local function save(bucket)
    local fields = {}
    for _, name in ipairs(NUMBERS) do
        fields[#fields + 1] = name
        fields[#fields + 1] = text(bucket[name])
    end
    for _, name in ipairs(TRIPLES) do
        for axis = 1, 3 do
            fields[#fields + 1] = name .. axis
            fields[#fields + 1] = text(bucket[name][axis])
        end
    end
    redis.call('HSET', KEYS[1], unpack(fields))
    redis.call('EXPIRE', KEYS[1], KEPT)
end

local GATE = {'until', 'every', 'look_at', 'since'}
local function load_account()
    local found, gate = redis.call('HMGET', KEYS[2], unpack(GATE)), {}
    for index, name in ipairs(GATE) do gate[name] = number(found[index] or 0) or 0 end
    return gate
end
local function save_account(gate)
    if gate.every == 0 then
        redis.call('DEL', KEYS[2])
    else
        for _, name in ipairs(GATE) do redis.call('HSET', KEYS[2], name, text(gate[name])) end
    end
end

local function gate_wait(gate) return math.max(gate['until'] - now, gate.look_at - now, 0) end
local function pass_one(gate)
    if gate.every > 0 then gate.look_at = now + gate.every end
end
local function probe(gate, every)
    if gate.every == 0 then gate.since = now end
    gate.every, gate.look_at = every, math.max(gate.look_at, now + every)
end
local function open(gate, begun)
    local news = gate.every > 0 and begun >= gate.since
    if news then gate.every, gate.look_at, gate.since = 0, 0, 0 end
    return news
end

local function share(bucket, time)
    local grown = (1 - bucket.ramp_from) * (time - bucket.ramp_at) / bucket.ramp_for
    return math.min(1, bucket.ramp_from + math.max(grown, 0))
end
local function full_seconds(bucket, since, till)
    local full = bucket.ramp_at + bucket.ramp_for
    if since >= full then return till - since end
    local sloped = math.min(till, full)
    local middle = (share(bucket, since) + share(bucket, sloped)) / 2
    return (sloped - since) * middle + (till - sloped)
end
local function refill(bucket)
    if now <= bucket.at then return end
    local seconds = full_seconds(bucket, bucket.at, now)
    bucket.levels = lowest(plus(bucket.levels, times(bucket.limits, seconds / 60)), capacity(bucket.limits))
    bucket.at = now
end

local function wait_for(bucket, ahead, need)
    local longest, part = gate_wait(bucket), share(bucket, now)
    local enough = plus(ahead, lowest(need, capacity(bucket.limits)))
    for axis = 1, 3 do
        if enough[axis] > bucket.levels[axis] then
            longest = math.max(longest, (enough[axis] - bucket.levels[axis]) * 60 / (bucket.limits[axis] * part))
        end
    end
    return longest
end

local function note_queue(bucket, waiting, served)
    if served then
        bucket.queued = served
        bucket.queued_until = served[1] > 0 and now + pace.turn or 0
    elseif not is_nothing(waiting) then
        bucket.queued = waiting
        if now >= bucket.queued_until then bucket.queued_until = now + pace.turn end
    end
end

-- How many are admitted, the time, whether cache reads count, the bucket's limits, then the wait of each of the others. With a prefix, what the queue's
-- servant admits is remembered for `ttl` seconds under prefix .. id; when its worker asks, it was taken already.
local function admit(bucket, account)
    local serves, total = argument() == '1', axes()
    local served = serves and total or nil
    local prefix, ttl = argument(), argument()
    refill(bucket)
    if now - bucket.used_at > pace.idle and is_nothing(minus(bucket.levels, capacity(bucket.limits))) then
        bucket.ramp_at, bucket.ramp_from = now, pace.ramp_start
    end
    local wanted = (not served and now < bucket.queued_until) and bucket.queued or {0, 0, 0}
    local count, waits = 0, {}
    while at_argument < #ARGV do
        local id, need = argument(), axes()
        local wait = math.max(gate_wait(account), wait_for(bucket, wanted, need))
        local grant = prefix ~= '' and not serves and redis.call('GETDEL', prefix .. id)
        local shut = grant == 'probe' and bucket['until'] - now or math.max(gate_wait(account), gate_wait(bucket))
        if grant and shut <= 0 then
            count = count + 1
        elseif grant then  -- the provider has refused somebody since
            bucket.levels = lowest(plus(bucket.levels, need), capacity(bucket.limits))
            waits[#waits + 1] = text(shut)
            wanted = plus(wanted, need)
        elseif wait <= 0 and is_nothing(wanted) then
            bucket.levels = minus(bucket.levels, need)
            bucket.used_at = now
            pass_one(bucket)
            pass_one(account)
            if served then served = minus(served, need) end
            if prefix ~= '' and serves then
                local looks = bucket.every > 0 or account.every > 0
                redis.call('SET', prefix .. id, looks and 'probe' or 'room', 'EX', ttl)
            end
            count = count + 1
        else
            waits[#waits + 1] = text(wait)
            wanted = plus(wanted, need)
        end
    end
    note_queue(bucket, wanted, served)
    return {count, text(now), bucket.reads_count, text(bucket.limits[1]), text(bucket.limits[2]), text(bucket.limits[3]), unpack(waits)}
end

local function give_back(bucket, taken, used)
    refill(bucket)
    bucket.levels = lowest(minus(plus(bucket.levels, taken), used), capacity(bucket.limits))
end
local function settle(bucket) give_back(bucket, axes(), axes()) end

-- The step that was granted its room will not call.
local function revoke(bucket)
    local key, need = argument(), axes()
    if redis.call('DEL', key) == 1 then give_back(bucket, need, {0, 0, 0}) end
end

local function listen(bucket)
    local limits, remaining = told(), told()
    refill(bucket)
    if limits[1] or limits[2] or limits[3] or bucket.known == 0 then
        local heard = {limits[1] or pace.caps[1], limits[2] or pace.caps[2], limits[3] or pace.caps[3]}
        bucket.limits, bucket.known = lowest(heard, pace.caps), 1
    end
    bucket.reads_count = number(argument()) or bucket.reads_count
    local left = {remaining[1] or UNLIMITED, remaining[2] or UNLIMITED, remaining[3] or UNLIMITED}
    bucket.levels = lowest(lowest(bucket.levels, left), capacity(bucket.limits))
end

local function succeeded(bucket, account)
    local begun = number(argument())
    bucket.failing = 0
    open(account, begun)
    if open(bucket, begun) then
        refill(bucket)
        bucket.ramp_at, bucket.ramp_from = now, pace.ramp_start
    end
end

local function limited(bucket)
    local seconds, growth = number(argument()), argument() == '1'
    refill(bucket)
    bucket['until'] = math.max(bucket['until'], now + seconds)
    if growth then
        local part = share(bucket, now)
        bucket.ramp_for = math.min(bucket.ramp_for * 2, LONGEST_RAMP)
        bucket.ramp_at, bucket.ramp_from = now + seconds, math.max(part / 2, SLOWEST)
    end
end

local function overloaded(bucket)
    refill(bucket)
    bucket.failing = bucket.failing + 1
    bucket.ramp_from = math.max(share(bucket, now) * SLOWER, SLOWEST)
    bucket.ramp_at = now
    if bucket.failing >= FAILURES_TO_SHUT then probe(bucket, pace.probe) end
end

local operations = {
    admit = admit, settle = settle, revoke = revoke, listen = listen, succeeded = succeeded, limited = limited,
    overloaded = overloaded, park = function(_, account) probe(account, number(argument())) end,
}
local bucket, account = load(), load_account()
local answer = operations[ARGV[1]](bucket, account)
save(bucket)
save_account(account)
return answer
