"""A text that matches a simple regular expression: literals, classes, groups, alternatives and counts."""

import re

from agentfleet.simulator.brains.fitting import matches

FALLBACKS = ("a", "A", "0", "abc", "ABC", "abc-123", "A1", "a1b2c3d4", "0000", "2026-01-01", "1.0.0")
ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|.", re.DOTALL)
COUNT = re.compile(r"\{(\d+)(?:,\d*)?\}|([*+?])")
ESCAPES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "b": "", "A": "", "Z": "", "t": "\t", "n": "\n"}


def example(pattern: str) -> str:
    """A matching text; for a pattern beyond this small reader, the first common shape that matches, else `a`."""
    made = _Reader(pattern).alternatives()
    return next((text for text in (made, *FALLBACKS) if matches(pattern, text)), "a")


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternatives(self) -> str:
        """The first alternative up to the closing bracket or the end; the others are skipped over."""
        first = self._sequence()
        while self._peek() == "|":
            self.at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        made: list[str] = []
        while self.at < len(self.pattern) and self._peek() not in "|)":
            atom = self._atom()
            made.append(atom * self._count())
        return "".join(made)

    def _atom(self) -> str:
        if self._peek() == "(":
            lead = re.compile(r"\((?:\?:|\?P?<\w+>)?").match(self.pattern, self.at)
            self.at = lead.end() if lead else self.at + 1
            inner = self.alternatives()
            self.at += 1
            return inner
        token = ATOM.match(self.pattern, self.at)
        text = token.group() if token else ""
        self.at += max(1, len(text))
        if text.startswith("\\"):
            return ESCAPES.get(text[1], text[1])
        if text.startswith("[") and len(text) > 1:
            return _member(text)
        return {"^": "", "$": "", ".": "a"}.get(text, text)

    def _count(self) -> int:
        found = COUNT.match(self.pattern, self.at)
        if found is None:
            return 1
        self.at = found.end()
        if self._peek() in "?+" and self.at < len(self.pattern):  # lazy and possessive marks change nothing here
            self.at += 1
        return int(found.group(1)) if found.group(1) else {"*": 0, "+": 1, "?": 0}[found.group(2)]

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]


def _member(class_: str) -> str:
    """One character of a class such as `[a-z0-9]`."""
    if not class_.startswith("[^"):
        first = class_[1:3] if class_[1] == "\\" else class_[1]
        return ESCAPES.get(first[1], first[1]) if len(first) == 2 else first
    return next((char for char in "a0A-_ ." if re.match(class_, char)), "a")
