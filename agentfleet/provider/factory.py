"""The reasoner that a setting names."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from agentfleet.domain.errors import InvalidInput
from agentfleet.engine.ports import Reasoner
from agentfleet.provider.limits import Limits
from agentfleet.provider.reasoner import AnthropicReasoner

_FIELD = "AGENTFLEET_PROVIDER"


def make_reasoner(name: str, *, base_url: str | None, api_key: str | None, limits: Limits) -> Reasoner:
    """``anthropic``, or what the function at ``package.module:function`` makes of the same keyword arguments.

    Raises ``InvalidInput`` when there is no such thing, or when it is not configured.
    """
    make: Callable[..., Any] = AnthropicReasoner if name == "anthropic" else _imported(name)
    reasoner = make(base_url=base_url, api_key=api_key, limits=limits)
    if not (callable(getattr(reasoner, "reason", None)) and callable(getattr(reasoner, "close", None))):
        raise InvalidInput(_FIELD, f"{name!r} makes {reasoner!r}, which is no Reasoner: it needs reason() and close()")
    return cast("Reasoner", reasoner)


def _imported(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InvalidInput(_FIELD, f"must be 'anthropic' or 'package.module:function', not {name!r}")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(_FIELD, f"{name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidInput(_FIELD, f"{name!r} is not callable")
    return cast("Callable[..., Any]", found)
