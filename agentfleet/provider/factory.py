"""The reasoner that a setting names."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from agentfleet.domain.errors import InvalidInput
from agentfleet.engine.ports import Reasoner
from agentfleet.provider.account import Account
from agentfleet.provider.accounts import read_accounts
from agentfleet.provider.connections import Crossed
from agentfleet.provider.limits import Limits
from agentfleet.provider.quota import Quota
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.provider.warmth import Warmth

_FIELD = "AGENTFLEET_PROVIDER"


def make_reasoner(
    name: str,
    *,
    base_url: str | None,
    api_key: str | None,
    limits: Limits,
    accounts: Sequence[Account] = (),
    quota: Quota | None = None,
    warmth: Warmth | None = None,
    crossed: Crossed | None = None,
) -> Reasoner:
    """``anthropic``, with ``accounts`` or the one of ``base_url`` and ``api_key``; or one of your own.

    That is what the function at ``package.module:function`` makes of ``base_url``, ``api_key`` and ``limits``. Raises
    ``InvalidInput`` when there is no such thing, or when it is not configured.
    """
    if name == "anthropic":
        only = read_accounts(None, base_url=base_url, api_key=api_key, env=lambda _: None) if not accounts else ()
        return AnthropicReasoner([*accounts, *only], limits=limits, quota=quota, warmth=warmth, crossed=crossed)
    make = _imported(name)
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
