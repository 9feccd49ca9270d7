"""``AGENTFLEET_PROVIDER_LIMITS``: what may be used of the provider's limits at most."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from agentfleet.domain.admission import UNLIMITED, Axes
from agentfleet.domain.errors import InvalidInput

FIELD = "AGENTFLEET_PROVIDER_LIMITS"

Cap = Annotated[float | None, Field(ge=0.001, allow_inf_nan=False)]


class GroupLimits(BaseModel):
    """Of one model group, a minute; what is not given is as the provider says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: Cap = None
    input_tokens: Cap = None
    output_tokens: Cap = None
    cache_reads_count: bool = False
    """Whether what is read from the cache counts as input, as in the limits of some older models."""


class _Groups(RootModel[dict[str, GroupLimits]]):
    pass


@dataclass(frozen=True, slots=True)
class Caps:
    """``axes`` by group or ``organization/group``; the groups in which cache reads count."""

    axes: Mapping[str, Axes] = field(default_factory=dict[str, Axes])
    reads_count: frozenset[str] = frozenset()


def read_caps(text: str | None) -> Caps:
    """The caps in the JSON ``text``; raises ``InvalidInput`` that names the group and the field."""
    if text is None:
        return Caps()
    try:
        groups = _Groups.model_validate(json.loads(text)).root
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidInput(FIELD, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise InvalidInput(FIELD, f"is not JSON: {error}") from None
    return Caps(
        {name: _axes(limits) for name, limits in groups.items()},
        frozenset(name for name, limits in groups.items() if limits.cache_reads_count),
    )


def _axes(limits: GroupLimits) -> Axes:
    requests, inputs, outputs = UNLIMITED
    return limits.requests or requests, limits.input_tokens or inputs, limits.output_tokens or outputs
