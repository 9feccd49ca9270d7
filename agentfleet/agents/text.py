"""Text that any store and any provider accepts."""

import re

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """``text`` with NUL and lone surrogates replaced by U+FFFD: Postgres stores neither, UTF-8 has no surrogates."""
    return _NOT_STORABLE.sub("\ufffd", text)


def capped(text: str, limit: int) -> str:
    """``text``, cut at ``limit`` bytes of UTF-8 with a note that says so. ``text`` has no surrogates."""
    if len(text) * 4 <= limit:  # no character is longer than 4 bytes
        return text
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    kept = encoded[:limit].decode(errors="ignore")
    return f"{kept}\n[truncated: this is the first {limit} of {len(encoded)} bytes]"
