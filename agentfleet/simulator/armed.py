"""Faults that wait for their requests: POST /sim/faults arms one, a matching request sets it off.

A share of the requests for a while is a storm; every request of an organization until it is lifted is what the state
of an account looks like from outside, a spend cap or a closed door.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.faults import MENU, Fault

EndpointName: TypeAlias = Literal[
    "messages", "count_tokens", "models", "batches", "batch_results", "batch_item", "rate_limits"
]


@dataclass(frozen=True, slots=True)
class Call:
    """What a request looks like to the board. A `batch_item` is one request of a batch, when the model gets to it."""

    endpoint: EndpointName
    organization: str
    model: str | None
    raw: bytes
    turn: int


class Match(BaseModel):
    """Which requests; every condition given must hold. The requests inside a batch must be asked for by `endpoint`."""

    model_config = ConfigDict(extra="forbid")

    endpoint: EndpointName | None = None
    organization: str | None = None
    model: str | None = None
    contains: str | None = Field(default=None, description="Text somewhere in the request body.")
    turn: int | None = Field(default=None, description="How many assistant messages the request holds.")

    def holds(self, call: Call) -> bool:
        """Whether this request is meant."""
        return (
            (self.endpoint == call.endpoint or (self.endpoint is None and call.endpoint != "batch_item"))
            and self.organization in {None, call.organization}
            and self.model in {None, call.model}
            and (self.contains is None or self.contains.encode() in call.raw)
            and self.turn in {None, call.turn}
        )


class Order(BaseModel):
    """The body of POST /sim/faults. Without `times` and `seconds` the fault stays until it is cleared."""

    model_config = ConfigDict(extra="forbid")

    fault: str
    times: int | None = Field(default=None, ge=1)
    after: float = Field(default=0, ge=0, description="Seconds of the simulator's clock until it starts.")
    seconds: float | None = Field(default=None, gt=0, description="How long it lasts on the simulator's clock.")
    probability: float = Field(default=1, gt=0, le=1)
    match: Match = Match()


@dataclass(slots=True)
class Armed:
    """One order, from when to when it holds (clock seconds), and how often it has gone off."""

    order: Order
    id: int = 0
    starts: float = 0
    ends: float | None = None
    fired: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has gone off as often as was ordered."""
        return self.order.times is not None and self.fired >= self.order.times

    def over(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.ends is not None and now >= self.ends


@dataclass(slots=True)
class FaultBoard:
    """Everything armed, oldest first. The same seed and the same requests set off the same faults."""

    seed: str
    clock: Callable[[], float]
    armed: list[Armed] = field(default_factory=list[Armed])
    drawn: int = 0
    ordered: int = 0

    def arm(self, order: Order) -> Armed:
        """Add an order; 404 for a name that is not on the menu."""
        on_menu(order.fault)
        self.ordered += 1
        starts = self.clock() + order.after
        ends = None if order.seconds is None else starts + order.seconds
        armed = Armed(order, id=self.ordered, starts=starts, ends=ends)
        self.armed.append(armed)
        return armed

    def standing(self) -> list[Armed]:
        """What may still go off."""
        now = self.clock()
        self.armed[:] = [armed for armed in self.armed if not armed.over(now)]
        return self.armed

    def lift(self, id_: int) -> None:
        """Disarm one order, if it is still there."""
        self.armed[:] = [armed for armed in self.armed if armed.id != id_]

    def strike(self, call: Call) -> Fault | None:
        """The fault this request sets off, if any."""
        if not self.armed:
            return None
        now = self.clock()
        for armed in self.standing():
            if armed.starts <= now and armed.order.match.holds(call) and self._chance(armed.order.probability):
                armed.fired += 1
                if armed.spent:
                    self.armed.remove(armed)
                return MENU[armed.order.fault]
        return None

    def _chance(self, probability: float) -> bool:
        if probability >= 1:
            return True
        self.drawn += 1
        return share(f"{self.seed}:{self.drawn}") < probability


def share(text: str) -> float:
    """A number from 0 to below 1 that is always the same for the same text."""
    draw = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(draw, "big") / 2**64


def on_menu(name: str) -> Fault:
    """The fault of that name, or 404."""
    if name not in MENU:
        raise ApiError(404, f"simulator: no fault named {name!r}; GET /sim/faults lists the menu")
    return MENU[name]
