"""Bytes on the wire: JSON, server-sent events and identifiers."""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
SSE_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON."""
    return orjson.dumps(value)


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event whose name and `type` are both `kind`; the SDK drops an event that has no name."""
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def header_pairs(headers: Mapping[str, str]) -> Headers:
    """Header names and values as ASGI wants them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def fresh_id(prefix: str) -> str:
    """An identifier no other call has, e.g. `req_…` or `msg_…`."""
    return prefix + uuid.uuid4().hex[:24]


def derived_id(prefix: str, *parts: bytes) -> str:
    """An identifier that is the same for the same parts, e.g. `toolu_…`."""
    return prefix + hashlib.blake2b(b"\0".join(parts), digest_size=12).hexdigest()
