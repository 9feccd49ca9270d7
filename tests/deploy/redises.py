"""Redis servers in other shapes than one: with TLS, and with Sentinels that name a new primary when the old one dies."""

import signal
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from agentfleet.dev import child, valkey
from tests.deploy.authority import Authority
from tests.tooling import program

PASSWORD = "of-redis"
MASTER = "fleet"


@dataclass(frozen=True, slots=True)
class Started:
    """A server that runs; ``kill`` is SIGKILL."""

    port: int
    process: child.Server

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def server(directory: Path, path: Path, config: Mapping[str, object], *mode: str) -> Generator[Started]:
    """One, on a free port; ``config`` may be what it likes, a value of several lines is several lines."""
    directory.mkdir()
    log, made = directory / "log", list[Started]()

    def launch(port: int) -> None:
        lines = {"bind": "127.0.0.1", "port": port, "dir": str(directory), "save": '""', **config}
        file = directory / "conf"  # a Sentinel writes into it
        text = "".join(f"{name} {value}\n" for name, value in lines.items() if value is not None)
        file.write_text(text.replace("%port", str(port)))
        process = child.spawn([path, file, *mode], directory, log)
        child.wait_until(
            lambda: "accept connections" in (said := log.read_text()) or "Sentinel ID" in said, process, log
        )
        made.append(Started(port, process))

    child.on_free_port(launch)
    try:
        yield made[0]
    finally:
        with suppress(ProcessLookupError):
            child.stop(made[0].process, signal.SIGKILL)


@contextmanager
def with_tls(directory: Path, authority: Authority, **config: object) -> Generator[str]:
    """A Redis that speaks TLS alone, and whose certificate is of ``authority``; its URL. Skips without the program."""
    own = authority.certificate("localhost")
    tls = {
        "port": 0,
        "tls-port": "%port",
        "tls-cert-file": own.certificate,
        "tls-key-file": own.key,
        "tls-ca-cert-file": authority.file,
        "requirepass": PASSWORD,
        **config,
    }
    with server(directory, program("redis-server"), tls) as started:
        yield f"rediss://:{PASSWORD}@localhost:{started.port}/0"


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary with a replica, and three Sentinels."""

    primary: Started
    replica: Started
    sentinels: list[Started]

    def url(self, *, first_away: bool) -> str:
        """Of the primary; ``first_away``: the Sentinel that is asked first does not answer."""
        ports = [1] * first_away + [sentinel.port for sentinel in self.sentinels]
        return f"sentinel://:{PASSWORD}@{','.join(f'127.0.0.1:{port}' for port in ports)}/{MASTER}/0"

    def ask(self, *command: str) -> Any:
        """A Sentinel."""
        with redis.Redis(port=self.sentinels[0].port, decode_responses=True) as client:
            return client.execute_command("SENTINEL", *command)

    def promoted(self) -> bool:
        """Whether the replica is the primary, in the eyes of the Sentinels."""
        return self.ask("GET-MASTER-ADDR-BY-NAME", MASTER)[1] == str(self.replica.port)

    def settled(self) -> bool:
        """Whether they know of each other and of the replica."""
        known = self.ask("MASTER", MASTER)
        known = known if isinstance(known, dict) else dict(zip(known[::2], known[1::2], strict=True))
        return (int(known["num-other-sentinels"]), int(known["num-slaves"])) == (2, 1)


@contextmanager
def watched(directory: Path) -> Generator[Watched]:
    """All five."""
    path = valkey._program()
    login = {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": 0}
    with ExitStack() as stack:
        primary = stack.enter_context(server(directory / "primary", path, login))
        replica = stack.enter_context(
            server(directory / "replica", path, {**login, "replicaof": f"127.0.0.1 {primary.port}"})
        )
        orders = {
            "save": None,
            "sentinel": f"monitor {MASTER} 127.0.0.1 {primary.port} 2\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\n"
            f"sentinel failover-timeout {MASTER} 2000",
        }
        sentinels = [
            stack.enter_context(server(directory / f"sentinel-{number}", path, orders, "--sentinel"))
            for number in range(3)
        ]
        yield Watched(primary, replica, sentinels)
