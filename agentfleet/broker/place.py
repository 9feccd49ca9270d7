"""Where Redis is, from the settings: a server, with TLS or without, or the primary that Sentinels name.

==========================================  ===========================================
``redis://user:password@host:port/db``      a server
``rediss://...``                            the same, with TLS
``sentinel://user:password@a:1,b:2/name/db``  the primary ``name``; asks a, then b
``sentinels://...``                         the same, with TLS to both
==========================================  ===========================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import SecretStr

from agentfleet.domain.errors import InvalidInput

FORMS = "redis://host:port/0, rediss://host:port/0, sentinel://host:port,host:port/master/0 or sentinels://..."
ENCODE = "In a password / is %2F, # is %23, ? is %3F and @ is %40"
SENTINEL_PORT = 26_379
SETTING = "AGENTFLEET_REDIS_URL"


class RedisSettings(Protocol):
    """The settings that say where Redis is; see there."""

    @property
    def redis_url(self) -> str | None: ...
    @property
    def redis_ca_file(self) -> Path | None: ...
    @property
    def redis_cert_file(self) -> Path | None: ...
    @property
    def redis_key_file(self) -> Path | None: ...
    @property
    def redis_verify(self) -> str: ...
    @property
    def sentinel_password(self) -> SecretStr | None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """``servers`` are Redis itself, or the Sentinels that know the primary called ``master``.

    ``tls`` and ``sentinel_options`` are keywords of redis-py.
    """

    url: str = field(repr=False)
    servers: tuple[tuple[str, int], ...]
    database: int = 0
    master: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """For humans: no password."""
        names = ",".join(f"{host}:{port}" for host, port in self.servers)
        return f"{names}/{f'{self.master}/' if self.master else ''}{self.database}"

    @property
    def login(self) -> dict[str, Any]:
        """Keywords of redis-py for the server itself, whichever it is."""
        return {"db": self.database, "username": self.username, "password": self.password}

    def sentinel_options(self, **options: Any) -> dict[str, Any]:
        """Keywords of redis-py for the Sentinels."""
        tls = {} if self.tls is None else {"ssl": True, **self.tls}
        return {"password": self.sentinel_password, **tls, **options}

    def broker_url(self, scheme: str) -> str:
        """For kombu: the first server, or Sentinel, under its name for a transport."""
        login = ":".join(quote(part or "", safe="") for part in (self.username, self.password))
        host, port = self.servers[0]
        bracketed = f"[{host}]" if ":" in host else host
        return f"{scheme}://{f'{login}@' if self.password else ''}{bracketed}:{port}/{self.database}"


def read_place(settings: RedisSettings) -> Place:
    """Raises ``InvalidInput`` for a URL that is missing or has none of the forms above."""
    url = settings.redis_url
    if url is None:
        raise InvalidInput(SETTING, "is not set: give a Redis URL, or use `agentfleet dev`, which embeds one")
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "sentinel", "sentinels"):
        raise InvalidInput(SETTING, f"is not one of {FORMS}")
    query = dict(parse_qsl(parts.query))
    in_query = {name: query.pop(name) for name in list(query) if name.startswith("ssl_")}
    tls = {**_tls(settings), **in_query} if parts.scheme in ("rediss", "sentinels") else None
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = (unquote(part) for part in userinfo.partition(":"))
    path = [unquote(part) for part in parts.path.split("/") if part]
    through = parts.scheme.startswith("sentinel")
    if through and (len(path) not in (1, 2) or not hosts):
        raise InvalidInput(SETTING, "names no primary: sentinel://host:port,host:port/master/0")
    master = path.pop(0) if through else None
    secret = settings.sentinel_password
    return Place(
        parts._replace(query=urlencode(query)).geturl(),
        tuple(_address(each, SENTINEL_PORT if through else 6_379) for each in hosts.split(",")),
        _number(query.get("db") or (path[0] if path else "0")),
        master,
        username or None,
        password or None,
        tls,
        None if secret is None else secret.get_secret_value(),
    )


def _tls(settings: RedisSettings) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    return {
        "ssl_cert_reqs": "none" if settings.redis_verify == "none" else "required",
        "ssl_check_hostname": settings.redis_verify == "full",
        **{name: str(file) for name, file in files.items() if file is not None},
    }


def _address(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return parts.hostname or "localhost", parts.port or default
    except ValueError:
        raise InvalidInput(SETTING, f"has a host:port that is none. {ENCODE}") from None  # it may be half a password


def _number(text: str) -> int:
    if not text.isdecimal():
        raise InvalidInput(SETTING, f"has a database that is no number; it is one of {FORMS}. {ENCODE}")
    return int(text)
