-- Keep a lead, or with a lease of 0 give it up: only if it is still the caller's. Called by caching/flights.py.
-- KEYS: the lead. ARGV: the caller's token, the lease in ms. Returns 1 if it was the caller's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
