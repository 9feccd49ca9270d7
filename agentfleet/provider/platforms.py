"""What differs between the platforms that serve the models: the client, the path, the envelope, the stream's framing.

The SDK's clients of Bedrock and Vertex take a request apart and write it again, which would not keep what was said byte
for byte (see ``body``). So they get the finished path and body, and do what is left: sign, send, raise errors.
"""

import importlib.util
import ipaddress
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from agentfleet.domain.errors import InvalidInput
from agentfleet.provider import eventstream, sse
from agentfleet.provider.account import FIELD, Account, Platform
from agentfleet.provider.connections import Connections
from agentfleet.provider.redact import redact

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import Response

ANTHROPIC = "https://api.anthropic.com"

_EXTRAS: Mapping[Platform, tuple[str, str]] = MappingProxyType(
    {
        Platform.BEDROCK: ("boto3", "bedrock"),
        Platform.MANTLE: ("boto3", "bedrock"),
        Platform.VERTEX: ("google.auth", "vertex"),
    }
)
"""The module that finds a cloud's own credentials, and the extra that brings it. Not needed with an ``api_key``."""


class Endpoint:
    """One account: its client, and how a call of the Messages API looks there. All share ``connections``.

    Built on the event loop that uses it, after any fork. Raises ``InvalidInput`` when it could not work.
    """

    def __init__(self, account: Account, connections: Connections) -> None:
        check_extra(account)
        self.account = account
        try:
            self.client = _client(account, connections)
        except Exception as error:  # noqa: BLE001  # the SDK's own words for what its environment lacks or doubles
            raise InvalidInput(f"{FIELD}: account {account.name!r}", redact(str(error))) from None

    def path(self, model: str) -> str:
        """Where a streaming call for ``model`` is posted, below the base URL."""
        account = self.account
        name = quote(account.model_id(model), safe=":@")
        match account.platform:
            case Platform.BEDROCK:
                return f"/model/{name}/invoke-with-response-stream"
            case Platform.VERTEX:
                place = f"/projects/{quote(account.project or '')}/locations/{quote(account.region or '')}"
                return f"{place}/publishers/anthropic/models/{name}:streamRawPredict"
            case Platform.ANTHROPIC | Platform.MANTLE | Platform.FOUNDRY:
                return "/v1/messages"

    def envelope(self, model: str) -> dict[str, Any]:
        """The fields of the body that depend on the platform."""
        match self.account.platform:
            case Platform.BEDROCK:
                return {"anthropic_version": _version()}
            case Platform.VERTEX:
                return {"anthropic_version": _version(), "stream": True}
            case Platform.ANTHROPIC | Platform.MANTLE | Platform.FOUNDRY:
                return {"model": self.account.model_id(model), "stream": True}

    @property
    def content_type(self) -> str:
        """What the answer must be."""
        bedrock = self.account.platform is Platform.BEDROCK
        return "application/vnd.amazon.eventstream" if bedrock else "text/event-stream"

    def events(self, response: "Response") -> AsyncIterator[tuple[str, str]]:
        """``(event name, data)`` of every event of the answer."""
        reader = eventstream if self.account.platform is Platform.BEDROCK else sse
        return reader.events(response.aiter_bytes())

    async def close(self) -> None:
        """Close its connections."""
        await self.client.close()


def _client(account: Account, connections: Connections) -> "AsyncAnthropic":
    import anthropic
    from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle
    from anthropic.lib.vertex import AsyncAnthropicVertex

    from agentfleet.provider.http import LimitedClient

    url = account.base_url or (ANTHROPIC if account.platform is Platform.ANTHROPIC else None)
    # A proxy named by the environment must not capture a simulator on this machine.
    http = LimitedClient(connections, trust_env=not is_loopback(url or ""))
    common: dict[str, Any] = {
        "base_url": url,
        "http_client": http,
        "timeout": http.timeout,
        "max_retries": 0,  # retries belong to the store, where they are visible, durable and hold no worker
        "open_telemetry": False,  # it would send our trace ids to the provider
    }
    key = None if account.api_key is None else account.api_key.get_secret_value()
    client: Any
    match account.platform:
        case Platform.ANTHROPIC:
            client = anthropic.AsyncAnthropic(**common, api_key=key)
        case Platform.BEDROCK:
            client = AsyncAnthropicBedrock(**common, aws_region=account.region, api_key=key)
        case Platform.MANTLE:
            client = AsyncAnthropicBedrockMantle(**common, aws_region=account.region, api_key=key)
        case Platform.VERTEX:
            common |= {"region": account.region, "project_id": account.project}
            client = AsyncAnthropicVertex(**common, access_token=key)
        case Platform.FOUNDRY:
            client = anthropic.AsyncAnthropicFoundry(**common, resource=account.resource, api_key=key)
    return client


def _version() -> str:
    from anthropic._constants import ANTHROPIC_API_VERSION

    return ANTHROPIC_API_VERSION


def check_extra(account: Account) -> None:
    """Raise ``InvalidInput`` when nothing here can find the account's credentials."""
    module, extra = _EXTRAS.get(account.platform, ("", ""))
    if not module or account.api_key is not None or _installed(module):
        return
    problem = f"the platform {account.platform.value!r} finds its credentials with {module}, which is not installed"
    raise InvalidInput(f"{FIELD}: account {account.name!r}", f"{problem}: pip install 'agentfleet[{extra}]'")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def is_loopback(url: str) -> bool:
    """Whether ``url`` is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
