"""Failpoints: operations that can be made to break, just before they happen or just after they have. For tests.

Every hot statement is one (named after its ``.sql`` file), and so is whatever else crosses the process: messages sent,
taken and acknowledged, model calls, tool calls. Nothing is armed unless the setting AGENTFLEET_FAILPOINT says so:

    settle_steps.after:kill        die when the commit has happened and nothing else has
    publish.before:raise@3         fail with the error that the operation fails with, at its third time
    tool.before:pause              stop the whole process (SIGSTOP) until somebody continues it
    publish.before:dup             do it twice

Several are separated by commas; each fires once. The idea is FreeBSD's fail(9) and etcd's gofail.
"""

import os
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import structlog

from agentfleet.domain.errors import InvalidInput

log = structlog.get_logger("agentfleet.failpoints")

T = TypeVar("T")
Moment = Literal["before", "after"]
_SPEC = re.compile(r"([a-z_.]+)\.(before|after):(kill|pause|raise|dup)(?:@([1-9]\d*))?")


@dataclass(slots=True)
class Armed:
    """What a moment of a point does, once."""

    moment: str
    action: str
    passes: int
    """How often this moment has still to be passed, this time included."""


@dataclass(slots=True)
class Failpoint:
    """One operation. ``error`` makes what it fails with in the wild; ``None``: it cannot fail, or never alone."""

    name: str
    error: Callable[[], Exception] | None
    repeatable: bool
    """It is a function, which can be called twice."""
    armed: list[Armed] = field(default_factory=list[Armed])

    async def around(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, with what is armed before and after it."""
        if not self.armed:
            return await work()
        if self._passes("before"):
            await work()
        result = await work()
        if self._passes("after"):
            result = await work()
        return result

    def before(self) -> None:
        """It is about to happen. For operations that are no function to be called twice."""
        if self.armed:
            self._passes("before")

    def after(self) -> None:
        """It has happened."""
        if self.armed:
            self._passes("after")

    def _passes(self, moment: Moment) -> bool:
        """Break as told; ``True`` when the work should be done once more."""
        due = [one for one in self.armed if one.moment == moment]
        for one in due:
            one.passes -= 1
        again = False
        for one in [one for one in due if one.passes == 0]:
            self.armed.remove(one)
            log.warning("failpoint", point=f"{self.name}.{moment}", action=one.action)
            match one.action:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "pause":
                    os.kill(os.getpid(), signal.SIGSTOP)
                case "raise" if self.error is not None:
                    raise self.error()
                case _:
                    again = True
        return again


POINTS: dict[str, Failpoint] = {}
"""All of them, by name."""


def declare(name: str, error: Callable[[], Exception] | None, *, repeatable: bool = True) -> Failpoint:
    """Make an operation breakable, at import. The same name is the same operation."""
    return POINTS.setdefault(name, Failpoint(name, error, repeatable))


def arm(spec: str | None) -> None:
    """Arm what the setting says, and nothing else; raises ``InvalidInput`` for what is not there."""
    armed = read(spec)
    for point in POINTS.values():
        point.armed.clear()
    for point, one in armed:
        log.critical("failpoint_armed", point=f"{point.name}.{one.moment}", action=one.action, passes=one.passes)
        point.armed.append(one)


def read(spec: str | None) -> list[tuple[Failpoint, Armed]]:
    """What the setting says, without doing it; raises ``InvalidInput``."""
    return [_read(text) for text in map(str.strip, (spec or "").split(",")) if text]


def _read(text: str) -> tuple[Failpoint, Armed]:
    found = _SPEC.fullmatch(text)
    if found is None:
        raise InvalidInput(
            "AGENTFLEET_FAILPOINT", f"{text!r} is not NAME.before|after:kill|pause|raise|dup, or that and @COUNT"
        )
    name, moment, action, passes = found.groups()
    point = POINTS.get(name)
    if point is None:
        known = ", ".join(sorted(POINTS))
        raise InvalidInput("AGENTFLEET_FAILPOINT", f"there is no failpoint {name!r}; there are {known}")
    if (action == "dup" and not point.repeatable) or (action == "raise" and point.error is None):
        raise InvalidInput("AGENTFLEET_FAILPOINT", f"{text!r}: {action!r} does not apply to {name!r}")
    return point, Armed(moment, action, int(passes or 1))
