"""The provider accounts of this fleet, read from ``AGENTFLEET_ACCOUNTS``.

Limits are an organization's, not a key's: accounts of one ``organization`` share one bucket, and several keys of it buy
nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import cast

from pydantic import SecretStr, ValidationError

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.routing import is_bound
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.account import FIELD, Account, Platform
from agentfleet.provider.choose import choose
from agentfleet.provider.connections import Connections
from agentfleet.provider.platforms import Endpoint

DEFAULT = "default"
"""The name of the only account, when none are listed."""


class Accounts:
    """The accounts as one process uses them: an endpoint each, all within ``connections``.

    ``parked`` says which of them cannot be used as a whole. Raises ``InvalidInput`` when one could not work. Imports
    the SDK: construct it after any fork, on the event loop that uses it.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        connections: Connections,
        parked: Callable[[Account], bool] = lambda _: False,
    ) -> None:
        self._accounts, self._parked = tuple(accounts), parked
        self._endpoints = {account.name: Endpoint(account, connections) for account in accounts}
        self.organizations = tuple({account.organization: None for account in accounts})
        """Whose limits hold, in the order of the list."""

    def choose(self, request: ReasonRequest, refused: Collection[str] = ()) -> Endpoint:
        """Whom to ask, if possible none of the organizations that have ``refused``.

        Raises ``ProviderModelUnknown`` when nobody serves the model.
        """
        account = choose(
            self._accounts,
            request.run_id,
            request.model,
            pinned=request.account,
            bound=is_bound(request.conversation),
            parked=lambda account: account.organization in refused or self._parked(account),
        )
        return self._endpoints[account.name]

    def named(self, name: str) -> Endpoint | None:
        """The account of this name, if it is still listed."""
        return self._endpoints.get(name)

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.close()


def read_accounts(
    text: str | None, *, base_url: str | None, api_key: str | None, env: Callable[[str], str | None]
) -> tuple[Account, ...]:
    """The accounts that the JSON ``text`` lists; without it one called ``default``, of ``base_url`` and ``api_key``.

    ``env`` looks up environment variables. Raises ``InvalidInput`` that names the account and the field.
    """
    if text is None:
        return (_only(base_url, api_key),)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InvalidInput(FIELD, f"is not JSON: {error}") from None
    if not isinstance(values, list) or not values:
        raise InvalidInput(FIELD, "must be a JSON list of accounts, or unset for the one that ANTHROPIC_API_KEY names")
    accounts = tuple(_listed(value, place, env) for place, value in enumerate(cast("list[object]", values), 1))
    _check_together(accounts)
    return accounts


def _only(base_url: str | None, api_key: str | None) -> Account:
    key = (api_key or "").strip()  # files with secrets end in a newline
    if not key:
        raise InvalidInput(
            "AGENTFLEET_PROVIDER_API_KEY", "is not set, and neither is ANTHROPIC_API_KEY or AGENTFLEET_ACCOUNTS"
        )
    try:
        return Account(name=DEFAULT, base_url=base_url, api_key=SecretStr(key))
    except ValidationError as error:
        field, problem = _problems(error)[0]
        raise InvalidInput(f"AGENTFLEET_PROVIDER_{field.upper()}", problem) from None


def _listed(value: object, place: int, env: Callable[[str], str | None]) -> Account:
    given = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    where = f"{FIELD}: account {given.get('name', place)!r}"
    key_env = given.get("api_key_env")
    if isinstance(key_env, str) and given.get("api_key") is None:
        key = env(key_env)
        if not key:
            raise InvalidInput(f"{where}: api_key_env", f"the environment variable {key_env} is not set")
        value = {**given, "api_key": key.strip()}
    elif key_env is not None:
        raise InvalidInput(f"{where}: api_key_env", "names an environment variable, in place of api_key")
    try:
        return Account.model_validate(value)
    except ValidationError as error:
        told = "; ".join(f"{field}: {problem}" if field else problem for field, problem in _problems(error))
        raise InvalidInput(where, told) from None


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    """Field and problem; never the value, which may be a key."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in found]


def _check_together(accounts: Sequence[Account]) -> None:
    twice = [name for name, count in Counter(account.name for account in accounts).items() if count > 1]
    if twice:
        raise InvalidInput(FIELD, f"two accounts are called {twice[0]!r}: runs are pinned to an account by its name")
    platforms: dict[str, Platform] = {}
    for account in accounts:
        if platforms.setdefault(account.organization, account.platform) is not account.platform:
            problem = "has accounts of two platforms, each of which has limits of its own: give them two organizations"
            raise InvalidInput(FIELD, f"the organization {account.organization!r} {problem}")
