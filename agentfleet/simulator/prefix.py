"""One pass over a request: running token counts and running digests at every block boundary.

The service binds three things to "everything before this point": cache entries, thinking signatures and the price.
All three read the same pass. `cache_control` markers are not part of what is compared. A string content equals one text
block, and neighbouring messages of one role equal one message.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from agentfleet.simulator.tokens import input_tokens
from agentfleet.simulator.wire import Json, encode

HOUR = 3600
FIVE_MINUTES = 300


@dataclass(frozen=True, slots=True)
class Mark:
    """The boundary after one block. `ttl` in seconds when the caller put a cache breakpoint here, else None."""

    tokens: int
    digest: bytes
    ttl: int | None


@dataclass(frozen=True, slots=True)
class Prefix:
    """The whole request as boundaries. `starts[i]` counts the blocks that precede `messages[i]`."""

    marks: tuple[Mark, ...]
    starts: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Input tokens of the whole request."""
        return self.marks[-1].tokens if self.marks else 0

    @property
    def digest(self) -> bytes:
        """Digest of the whole request: system, tools and all messages."""
        return self.marks[-1].digest if self.marks else b""

    def digest_before(self, message: int, position: int = 0) -> bytes:
        """Digest of all that precedes a block, given its message and its position there."""
        blocks = self.starts[message] + position
        return self.marks[blocks - 1].digest if blocks else b""

    @property
    def breakpoints(self) -> list[int]:
        """Indexes of the marks that carry a cache breakpoint, in order."""
        return [index for index, mark in enumerate(self.marks) if mark.ttl is not None]


def read_prefix(body: Json) -> Prefix:
    """Walk tools, system and messages in the order the service caches them."""
    digest = hashlib.blake2b(digest_size=16)
    marks: list[Mark] = []
    starts: list[int] = []
    tokens = 0

    def add(label: bytes, block: Json) -> None:
        nonlocal tokens
        ttl = _ttl(block)
        bare = block
        if "cache_control" in block:
            bare = {key: value for key, value in block.items() if key != "cache_control"}
        encoded = encode(bare)
        digest.update(label)
        digest.update(encoded)
        tokens += input_tokens(block, encoded)
        marks.append(Mark(tokens=tokens, digest=digest.digest(), ttl=ttl))

    for tool in body.get("tools") or ():
        add(b"\0tool", tool)
    for block in as_blocks(body.get("system") or ()):
        add(b"\0system", block)
    for message in body["messages"]:
        starts.append(len(marks))
        for block in as_blocks(message["content"]):
            add(b"\0" + message["role"].encode(), block)
    if marks and (ttl := _ttl(body)) is not None and marks[-1].ttl is None:  # top-level marker: the last block
        marks[-1] = Mark(tokens=marks[-1].tokens, digest=marks[-1].digest, ttl=ttl)
    return Prefix(marks=tuple(marks), starts=tuple(starts))


def as_blocks(content: Any) -> list[Json]:
    """Content as a list of blocks; a plain string is one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _ttl(holder: Json) -> int | None:
    control = holder.get("cache_control")
    if not control:
        return None
    return HOUR if control.get("ttl") == "1h" else FIVE_MINUTES
