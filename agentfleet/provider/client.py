"""The SDK's client, as a worker with thousands of open calls needs it."""

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.connections import Connections

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC = "https://api.anthropic.com"


def build_client(base_url: str | None, api_key: str | None, connections: Connections) -> "AsyncAnthropic":
    """The client of one account, for the event loop that will use it; build it after any fork.

    All accounts of a process share ``connections``. Raises ``InvalidInput`` when it could not work.
    """
    url, key = _checked_url(base_url), _checked_key(api_key)
    from anthropic import AsyncAnthropic

    from agentfleet.provider.http import LimitedClient

    # A proxy named by the environment must not capture a simulator on this machine.
    http = LimitedClient(connections, trust_env=not _is_loopback(url))
    return AsyncAnthropic(
        api_key=key,
        base_url=url,
        timeout=http.timeout,
        max_retries=0,  # retries belong to the store, where they are visible, durable and hold no worker
        http_client=http,
        open_telemetry=False,  # it would send our trace ids to the provider
    )


def _checked_url(base_url: str | None) -> str:
    url = ANTHROPIC if base_url is None else base_url.strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("AGENTFLEET_PROVIDER_BASE_URL", f"must be an http or https URL, not {url!r}")
    return url


def _checked_key(api_key: str | None) -> str:
    key = (api_key or "").strip()  # files with secrets end in a newline
    if not key:
        raise InvalidInput("AGENTFLEET_PROVIDER_API_KEY", "is not set, and neither is ANTHROPIC_API_KEY")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidInput("AGENTFLEET_PROVIDER_API_KEY", "holds characters that no HTTP header can carry")
    return key


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
