"""Error texts without secrets, of bounded length and storable."""

import re

MAX_LENGTH = 2_000

_SECRET = re.compile(r"(?i)(sk-ant-|bearer\s+)[^\s'\"]+")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def redact(text: str) -> str:
    """``text`` with keys hidden, NUL and lone surrogates replaced, cut to ``MAX_LENGTH`` characters."""
    return _NOT_STORABLE.sub("\ufffd", _SECRET.sub(r"\1***", text))[:MAX_LENGTH]
