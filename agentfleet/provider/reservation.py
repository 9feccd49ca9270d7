"""What was reserved for one call, from its admission to its end: each thing that becomes known is reported at once."""

import math
from collections.abc import Mapping
from typing import Any

from agentfleet.domain.admission import NOTHING, Heard, Need
from agentfleet.domain.errors import (
    ProviderBusy,
    ProviderError,
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    StepError,
)
from agentfleet.provider.admission import Admission, axes

NO_WORD_SECONDS = 2.0
"""How long a bucket is left alone after a 429 that does not say for how long."""
ROUNDED_BY = 500.0
"""The provider tells tokens to the nearest thousand."""
GROWTH = "ramp_limit_exceeded"
_AXES = ("requests", "input-tokens", "output-tokens")


class Reservation:
    """Of one call that was let in at ``begun``. ``probe`` in seconds is how often a parked account is looked at."""

    def __init__(
        self, admission: Admission, need: Need, *, begun: float, cache_reads_count: bool, probe: float
    ) -> None:
        self.need = need
        self._begun = begun
        self._admission, self._cache_reads_count, self._probe = admission, cache_reads_count, probe
        self._input_known = False

    def opened(self, headers: Mapping[str, str]) -> None:
        """The answer has begun: the provider says where its limits are."""
        self._admission.listen(self.need.bucket, heard(headers))

    def begun(self, usage: Mapping[str, Any]) -> None:
        """The size of the prompt is known."""
        counted = (usage.get("input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
        if self._cache_reads_count:
            counted += usage.get("cache_read_input_tokens") or 0
        self._input_known = True
        self._admission.settle(self.need.bucket, (0, self.need.input_tokens, 0), (0, counted, 0))

    def ended(self, usage: Mapping[str, Any]) -> None:
        """The answer is complete."""
        self._admission.settle(self.need.bucket, (0, 0, self.need.output_tokens), (0, 0, usage["output_tokens"]))
        self._admission.succeeded(self.need.bucket, self._begun)

    def failed(self, failure: StepError, headers: Mapping[str, str] | None = None) -> None:
        """There is no answer; ``failure`` knows from now on what its step has to be admitted for.

        ``headers`` are those of the refusal. One without limits may come from a gateway, and says nothing about them.
        """
        bucket = self.need.bucket
        said = heard(headers or {})
        if any(limit is not None for limit in said.limits):
            self._admission.listen(bucket, said)
        if isinstance(failure, ProviderError):
            failure.need = self.need
        if isinstance(failure, ProviderBusy):
            self._admission.settle(bucket, axes(self.need), NOTHING)
        elif not self._input_known:  # refused, or never heard of again: its tokens were not taken
            self._admission.settle(bucket, (0, self.need.input_tokens, self.need.output_tokens), (0, 0, 0))
        match failure:
            case ProviderRateLimited():
                seconds = NO_WORD_SECONDS if failure.retry_after is None else failure.retry_after
                self._admission.limited(bucket, seconds, growth=failure.error_code == GROWTH)
            case ProviderOverloaded():
                self._admission.overloaded(bucket)
            case ProviderParked():
                self._admission.park(bucket, self._probe)
            case _:
                pass


class Unmetered:
    """Stands for a reservation where nobody meters."""

    def opened(self, headers: Mapping[str, str]) -> None: ...
    def begun(self, usage: Mapping[str, Any]) -> None: ...
    def ended(self, usage: Mapping[str, Any]) -> None: ...
    def failed(self, failure: StepError, headers: Mapping[str, str] | None = None) -> None: ...


def heard(headers: Mapping[str, str]) -> Heard:
    """The limits in the ``anthropic-ratelimit-*`` headers, and what is left of them at most."""
    limits = [_number(headers.get(f"anthropic-ratelimit-{axis}-limit")) for axis in _AXES]
    left = [_number(headers.get(f"anthropic-ratelimit-{axis}-remaining")) for axis in _AXES]
    requests, inputs, outputs = left
    return Heard(
        (limits[0], limits[1], limits[2]),
        (requests, None if inputs is None else inputs + ROUNDED_BY, None if outputs is None else outputs + ROUNDED_BY),
    )


def _number(text: str | None) -> float | None:
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
