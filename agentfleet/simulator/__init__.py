"""A Claude-shaped Messages API server in the box, spoken to through the real SDK over HTTP.

Map: `app` wires the routes, `serve` runs it · `messages` is the endpoint, read top to bottom; `batches` are the same
without haste · `validate`, `prefix`, `signatures`, `cache` and `buckets` (with `ramp` and `meter`) are what the real
service checks and counts · `speech` is the model: `brains` and `scripts` decide what it says (a `turn`) · `events`
writes it on the wire · `faults` is the menu of things that go wrong, `armed` says when and `mishaps` lets them happen
· `clock` is the time that all of them read · `control` is /sim/ · `log` remembers every call, so that a test can ask
whether one was paid for twice, or came too early; `utilisation` says how much of the limits was used.

Wire shapes follow https://platform.claude.com/docs/en/api/messages, /api/errors and /api/rate-limits. Nothing here
imports the SDK or the rest of agentfleet.
"""
