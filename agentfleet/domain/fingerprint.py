"""What makes two dead letters alike: the verdict, the place, and the shape of the message.

The shape is the message without what changes from one case to the next: quoted texts, URLs, paths, ids, numbers. Each
of them, and each run of them, becomes one ``#``. Too coarse is better than too fine here: a human reads the example.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

SHAPE_CHARS: Final = 300
"""More of a message tells no more about its kind. Cut when the numbers are gone: their length must not matter."""

_VARIES: Final = (
    # Texts in quotes; one that is not closed was cut off. An apostrophe inside a word opens none.
    re.compile(r"""(?<!\w)(["'`])(?:[^"'`\\]|\\.|(?!\1)["'`])*(?:\1(?!\w)|\Z)""", re.DOTALL),
    re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s#]+"),
    re.compile(r"(?<![\w/\\#])(?:[A-Za-z]:|\.{1,2}|~)?[/\\][^\s#:,;()\[\]{}<>]+"),  # a path
    re.compile(r"[\w.:@+-]*\d[\w.:@+-]*"),  # numbers, ids, times, versions, hosts with ports
    re.compile(r"\b[0-9a-fA-F]{8,}\b"),  # hex that happens to have no digit
)
_RUN: Final = re.compile(r"#(?:[\s.,:;/|+-]*#)+")


def shape(message: str) -> str:
    """``message`` with ``#`` for all that varies, on one line."""
    for varying in _VARIES:
        message = varying.sub("#", message)
    return _RUN.sub("#", " ".join(message.split()))[:SHAPE_CHARS].rstrip()


def fingerprint(verdict: str, *, agent: str, kind: str, name: str, error: Mapping[str, Any]) -> str:
    """``f_`` and 16 hex digits: the same for failures with one verdict, at one place, with one shape of message.

    ``kind`` and ``name`` are the step's; ``error`` is what ``settlement.describe`` made of the error.
    """
    what = [verdict, agent, kind, name, str(error.get("class", "")), shape(str(error.get("message", "")))]
    return "f_" + hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
