-- Take everything off the shelf. Called by caching/shelf.py. KEYS: the index, the bytes. Returns how much it was.
local entries = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, entry in ipairs(entries) do
    redis.call('UNLINK', string.sub(entry, string.find(entry, ':', 1, true) + 1))
end
redis.call('DEL', KEYS[1], KEYS[2])
return #entries
