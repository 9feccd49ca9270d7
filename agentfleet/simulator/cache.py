"""Prompt cache accounting: which part of a request is read from the cache, written to it, or neither.

Rules from https://platform.claude.com/docs/en/build-with-claude/prompt-caching: a breakpoint looks back at
most twenty blocks, a short prefix is never cached, an entry lives five minutes or an hour from the start of the request
that wrote or last read it, and it can be read only once the answer that wrote it has begun.
"""

from dataclasses import dataclass, field

from agentfleet.simulator.prefix import HOUR, Mark, Prefix

LOOKBACK_BLOCKS = 20
PURGE_ABOVE = 50_000  # entries; keeps a long benchmark from growing without bound


@dataclass(frozen=True, slots=True)
class Split:
    """Input tokens of one request by price: `fresh` is what neither cache column covers."""

    fresh: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    marks: tuple[Mark, ...] = ()  # entries to store or refresh once the answer begins

    @property
    def written(self) -> int:
        """Tokens written to the cache, both lifetimes."""
        return self.written_5m + self.written_1h

    @property
    def limited(self) -> int:
        """Tokens that count against the input limit: everything but cache reads."""
        return self.fresh + self.written


@dataclass(slots=True)
class PromptCache:
    """Live entries: (organization, model, digest) -> when they die, in seconds of the simulator's clock."""

    min_tokens: int
    entries: dict[tuple[str, str, bytes], float] = field(default_factory=dict[tuple[str, str, bytes], float])

    def split(self, scope: tuple[str, str], prefix: Prefix, now: float) -> Split:
        """How this request's input divides. Changes nothing: call `store` when the answer begins."""
        breakpoints = prefix.breakpoints
        if not breakpoints:
            return Split(fresh=prefix.tokens)
        hit = self._longest_hit(scope, prefix, breakpoints, now)
        read = prefix.marks[hit].tokens if hit is not None else 0
        new = [i for i in breakpoints if (hit is None or i > hit) and prefix.marks[i].tokens >= self.min_tokens]
        until = prefix.marks[new[-1]].tokens if new else read
        hours = [prefix.marks[i].tokens for i in new if prefix.marks[i].ttl == HOUR]
        until_1h = hours[-1] if hours else read
        touched = [prefix.marks[i] for i in new]
        if hit is not None:
            ttl = prefix.marks[hit].ttl or next(prefix.marks[i].ttl for i in breakpoints if i >= hit)
            touched.append(Mark(tokens=read, digest=prefix.marks[hit].digest, ttl=ttl))
        return Split(
            fresh=prefix.tokens - until,
            read=read,
            written_5m=until - until_1h,
            written_1h=until_1h - read,
            marks=tuple(touched),
        )

    def store(self, scope: tuple[str, str], split: Split, started: float) -> None:
        """Write and refresh the entries of a request that started at `started` and now answers."""
        for mark in split.marks:
            key = (*scope, mark.digest)
            self.entries[key] = max(self.entries.get(key, 0), started + (mark.ttl or 0))
        if len(self.entries) > PURGE_ABOVE:
            self.entries = {key: dies for key, dies in self.entries.items() if dies > started}

    def _longest_hit(self, scope: tuple[str, str], prefix: Prefix, breakpoints: list[int], now: float) -> int | None:
        for breakpoint_ in reversed(breakpoints):
            for index in range(breakpoint_, max(breakpoint_ - LOOKBACK_BLOCKS, -1), -1):
                if self.entries.get((*scope, prefix.marks[index].digest), 0) > now:
                    return index
        return None
