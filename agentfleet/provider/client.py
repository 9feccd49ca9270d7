"""The SDK's client, as a worker with thousands of open calls needs it."""

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agentfleet.domain.errors import InvalidInput

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC = "https://api.anthropic.com"
CONNECT_TIMEOUT = 10.0
"""Seconds for TCP and TLS: a thousand handshakes at once take one core seconds."""
QUEUE_TIMEOUT = 30.0
"""Seconds for the whole way to a connection, name resolution included."""
WRITE_TIMEOUT = 60.0
KEEP_ALIVE = 15.0
"""Seconds that an idle connection is kept: below what servers and NATs usually grant, so that none is reused dead."""


def build_client(
    base_url: str | None, api_key: str | None, *, read_timeout: float, max_connections: int
) -> "AsyncAnthropic":
    """A client for the event loop that will use it; build it after any fork.

    ``read_timeout`` is the longest silence in seconds. Raises ``InvalidInput`` when it could not work.
    """
    url, key = _checked_url(base_url), _checked_key(api_key)
    from anthropic import AsyncAnthropic, DefaultAioHttpClient
    from httpx2 import Limits, Timeout

    timeout = Timeout(connect=CONNECT_TIMEOUT, read=read_timeout, write=WRITE_TIMEOUT, pool=QUEUE_TIMEOUT)
    limits = Limits(max_connections=max_connections, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)
    # The aiohttp transport: the default one searches all open requests whenever one starts or ends.
    # A proxy named by the environment must not capture a simulator on this machine.
    http = DefaultAioHttpClient(timeout=timeout, limits=limits, trust_env=not _is_loopback(url))
    return AsyncAnthropic(
        api_key=key,
        base_url=url,
        timeout=timeout,
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
