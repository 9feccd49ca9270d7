"""Keys that make repetition harmless: ours on outbound effects, the client's on requests."""

import hashlib


def effect_key(run_id: str, step_id: str, call_id: str) -> str:
    """The idempotency key of one tool call, ``run:step:call``: the same for every attempt, different for every call."""
    return f"{run_id}:{step_id}:{call_id}"


def fingerprint(*parts: bytes) -> bytes:
    """32 bytes that differ when any part differs: tells a repeated request from another one under the same key."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
