"""How many slots the provider's limits can keep busy. Pure.

A bucket answers so many calls a second as its scarcest limit allows, X = min(RPM / 60, ITPM / 60 / input, OTPM / 60 /
output) with the tokens that a call takes of late; by Little's law calls that come at this rate hold X · S slots. Tool
calls hold slots too, and come as often as model calls ask for them.

No margin is taken off. Admission keeps the limits, whatever the number of slots: some too many wait, some too few leave
a part of the quota unused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentfleet.domain.admission import Axes

ENDLESS = 1e6
"""More slots than this are no limit."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Recent steps that called ``model`` (``None``: none), and what all of them took: seconds of a slot, tokens."""

    model: str | None
    steps: int
    seconds: float
    input_tokens: float = 0.0
    output_tokens: float = 0.0


def mean_seconds(calls: Sequence[Calls]) -> float | None:
    """For how long a step holds a slot; ``None`` when there was none."""
    steps = sum(each.steps for each in calls)
    return sum(each.seconds for each in calls) / steps if steps else None


def provider_slots(
    calls: Mapping[str, Sequence[Calls]], limits: Mapping[str, Axes | None], other: Calls
) -> float | None:
    """The slots for a pool whose steps call these model groups, and ``other`` that call none.

    ``limits`` are a minute, by bucket ``organization/group``; ``None``: not known yet. All of them count for the pool,
    whoever else uses them. ``None``: no limit is known, or there is none.
    """
    if not calls:
        return None
    rate = 0.0
    for group, each in calls.items():
        buckets = [axes for bucket, axes in limits.items() if bucket.partition("/")[2] == group]
        known = [axes for axes in buckets if axes is not None]
        if not buckets or len(known) < len(buckets):
            return None
        rate += sum(_calls_per_second(axes, each) for axes in known)
    every = [one for each in calls.values() for one in each]
    seconds = (sum(one.seconds for one in every) + other.seconds) / sum(one.steps for one in every)
    slots = rate * seconds
    return slots if slots < ENDLESS else None


def _calls_per_second(limits: Axes, calls: Sequence[Calls]) -> float:
    steps = sum(each.steps for each in calls)
    inputs, outputs = (
        sum(each.input_tokens for each in calls) / steps,
        sum(each.output_tokens for each in calls) / steps,
    )
    requests, input_tokens, output_tokens = (limit / 60 for limit in limits)
    return min(requests, input_tokens / max(inputs, 1.0), output_tokens / max(outputs, 1.0))
