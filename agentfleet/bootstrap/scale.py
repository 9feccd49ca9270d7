"""How many workers the pools may have: the settings, pool by pool."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import orjson

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.scaling import Ramp, ScalePolicy
from agentfleet.engine.autoscale import PoolPolicy
from agentfleet.settings import Settings

FIELD = "AGENTFLEET_SCALE_POOLS"
_RAMP = {field.name for field in fields(Ramp)}
_SCALE = {field.name for field in fields(ScalePolicy)} - {"ramp"}
_POOL = {"lead", "forecast"}


def scale_policies(settings: Settings) -> Callable[[str], PoolPolicy]:
    """What is wanted of a pool: what ``AGENTFLEET_SCALE_POOLS`` says of it, else the other settings.

    Raises ``InvalidInput``, which names what is wrong.
    """
    usual: dict[str, Any] = {
        "concurrency": settings.worker_capacity,
        "min_workers": settings.scale_min_workers,
        "max_workers": settings.scale_max_workers,
        "headroom": settings.scale_headroom,
        "drain_target": settings.scale_drain_target,
        "lead": settings.scale_lead,
    }
    default = _policy(usual, "AGENTFLEET_SCALE")
    own = {pool: _policy({**usual, **given}, f"{FIELD} {pool}") for pool, given in _read(settings.scale_pools).items()}
    return lambda pool: own.get(pool, default)


def _read(text: str | None) -> dict[str, dict[str, Any]]:
    if text is None:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(FIELD, f"is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):  # pyright: ignore[reportUnknownVariableType]  # JSON
        raise InvalidInput(FIELD, 'must be an object of objects by pool, such as {"default": {"max_workers": 50}}')
    return found  # pyright: ignore[reportUnknownVariableType]  # JSON


def _policy(given: dict[str, Any], field: str) -> PoolPolicy:
    known = _SCALE | _RAMP | _POOL
    for name, value in given.items():
        if name not in known:
            raise InvalidInput(field, f"{name!r} is none of {', '.join(sorted(known))}")
        whole = name in {"concurrency", "min_workers", "max_workers", "up_workers"}
        wanted = bool if name == "forecast" else int if whole else int | float
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            kind = "true or false" if wanted is bool else "a whole number" if whole else "a number"
            raise InvalidInput(field, f"{name} is {value!r}, and must be {kind}")
    scale, ramp, pool = ({key: given[key] for key in given if key in group} for group in (_SCALE, _RAMP, _POOL))
    try:
        return PoolPolicy(ScalePolicy(**scale, ramp=Ramp(**ramp)), **pool)
    except InvalidInput as error:
        raise InvalidInput(field, str(error)) from error
