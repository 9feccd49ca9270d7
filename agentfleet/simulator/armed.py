"""Faults that wait for their requests: POST /sim/faults arms one, a matching request sets it off."""

import hashlib
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.faults import MENU, Fault


class Match(BaseModel):
    """Which requests; every condition given must hold."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    contains: str | None = Field(default=None, description="Text somewhere in the request body.")
    turn: int | None = Field(default=None, description="How many assistant messages the request holds.")

    def holds(self, model: str | None, raw: bytes, turn: int) -> bool:
        """Whether a request with this model, body and turn is meant."""
        return (
            self.model in {None, model}
            and (self.contains is None or self.contains.encode() in raw)
            and self.turn in {None, turn}
        )


class Order(BaseModel):
    """The body of POST /sim/faults. Without `times` the fault stays until it is cleared."""

    model_config = ConfigDict(extra="forbid")

    fault: str
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1, gt=0, le=1)
    match: Match = Match()


@dataclass(slots=True)
class Armed:
    """One order and how often it has gone off."""

    order: Order
    fired: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has gone off as often as was ordered."""
        return self.order.times is not None and self.fired >= self.order.times


@dataclass(slots=True)
class FaultBoard:
    """Everything armed, oldest first. The same seed and the same requests set off the same faults."""

    seed: str
    armed: list[Armed] = field(default_factory=list[Armed])
    drawn: int = 0

    def arm(self, order: Order) -> Armed:
        """Add an order; 404 for a name that is not on the menu."""
        on_menu(order.fault)
        armed = Armed(order)
        self.armed.append(armed)
        return armed

    def strike(self, model: str | None, raw: bytes, turn: int) -> Fault | None:
        """The fault this request sets off, if any."""
        for armed in self.armed:
            if armed.order.match.holds(model, raw, turn) and self._chance(armed.order.probability):
                armed.fired += 1
                if armed.spent:
                    self.armed.remove(armed)
                return MENU[armed.order.fault]
        return None

    def _chance(self, probability: float) -> bool:
        if probability >= 1:
            return True
        self.drawn += 1
        draw = hashlib.blake2b(f"{self.seed}:{self.drawn}".encode(), digest_size=8).digest()
        return int.from_bytes(draw, "big") / 2**64 < probability


def on_menu(name: str) -> Fault:
    """The fault of that name, or 404."""
    if name not in MENU:
        raise ApiError(404, f"simulator: no fault named {name!r}; GET /sim/faults lists the menu")
    return MENU[name]
