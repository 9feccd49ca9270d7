"""What may happen next, with weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

WEIGHTS: dict[str, int] = {}
ARGUMENTS: dict[str, Mapping[str, Sequence[Any]]] = {}


@dataclass
class Move:
    """A method of the machine and its arguments."""

    name: str
    how: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.how.items())})"

    @classmethod
    def drawn(cls, number: int) -> "Move":
        """The move of this number."""
        chance = Random(number)  # the same every time
        [name] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        return cls(name, {argument: chance.choice(values) for argument, values in ARGUMENTS[name].items()})


def move(weight: int = 1, **arguments: Sequence[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Something that may happen next, ``weight`` times as often as others.

    Hypothesis knows one rule, which has a number: rules as such have no weights, and it likes to leave most of them out
    and to repeat the others, which seldom leads deep. It still finds the few moves that break an invariant.
    """

    def add(method: Callable[..., None]) -> Callable[..., None]:
        WEIGHTS[method.__name__], ARGUMENTS[method.__name__] = weight, arguments
        return method

    return add
