"""Opaque places in a list: the last thing seen, so they hold while new ones arrive. They carry no authority."""

import base64
import binascii
import re
from typing import Final

from agentfleet.api.problems import invalid, not_found

UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_id(thing: str, text: str) -> str:
    """A UUID in its usual form; raises ``Problem`` (404) for anything else, which names nothing."""
    lowered = text.lower()
    if UUID.fullmatch(lowered) is None:
        raise not_found(thing, text)
    return lowered


def encode(kind: str, *place: object) -> str:
    """The cursor of ``place`` in a list of ``kind``."""
    return base64.urlsafe_b64encode(":".join(map(str, (kind, *place))).encode()).decode().rstrip("=")


def decode_id(kind: str, cursor: str | None) -> str | None:
    """The id in ``cursor``, ``None`` for the first page; raises ``Problem`` (422) when it is not one of ours."""
    if cursor is None:
        return None
    parts = _decode(kind, cursor)
    if len(parts) != 1 or UUID.fullmatch(parts[0]) is None:
        raise _unknown()
    return parts[0]


def decode_numbers(kind: str, cursor: str | None, *first: int) -> tuple[int, ...]:
    """The numbers in ``cursor``, ``first`` for the first page; raises ``Problem`` (422) when it is not one of ours."""
    if cursor is None:
        return first
    parts = _decode(kind, cursor)
    if len(parts) != len(first) or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise _unknown()
    return tuple(map(int, parts))


def _decode(kind: str, cursor: str) -> list[str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _unknown() from None
    found, *parts = text.split(":")
    if found != kind:
        raise _unknown()
    return parts


def _unknown() -> Exception:
    return invalid("cursor", "this is no cursor of this list: take `next_cursor` of the page before")
