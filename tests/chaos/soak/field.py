"""What the nemesis can lay hands on, and who is hit by a fault."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
import psycopg
import redis

from agentfleet.broker import names
from agentfleet.dev.embedded import EmbeddedServer, Urls
from agentfleet.dev.errors import ServerFailed
from tests.chaos.soak.load import Load
from tests.chaos.soak.supervisor import Member, Supervisor

QUEUE = names.queue("agentfleet", "default")


@dataclass(slots=True)
class Hit:
    """One fault on one target. ``how`` is what a row of the table remembers between inflicting and healing."""

    target: str
    member: Member | None
    rng: Random
    how: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def victim(self) -> Member:
        assert self.member is not None
        return self.member


class Field:
    """Everything there is."""

    def __init__(self, urls: Urls, supervisor: Supervisor, load: Load) -> None:
        self.urls, self.supervisor, self.load = urls, supervisor, load
        self._simulator = httpx2.Client(base_url=supervisor.simulator_url, timeout=10)
        self._redis = redis.Redis.from_url(urls.redis_url, socket_timeout=2)

    def targets(self, kind: str) -> list[str]:
        """The names of what a fault on ``kind`` can hit."""
        members = [member.name for member in self.supervisor.kind(kind) if member.running]
        return members or ([] if self.supervisor.kind(kind) else [kind])

    def hit(self, target: str, rng: Random) -> Hit:
        """A fault on this target begins."""
        return Hit(target, self.supervisor.members.get(target), rng)

    def send(self, hit: Hit, signum: signal.Signals) -> None:
        """A signal to the process that is hit."""
        hit.how["pid"] = hit.victim.send(signum)

    def resume(self, hit: Hit) -> None:
        """SIGCONT to whoever got the SIGSTOP, if it still lives."""
        if hit.victim.pid == hit.how["pid"]:
            hit.victim.send(signal.SIGCONT)

    def server(self, name: str) -> EmbeddedServer:
        return self.urls.started[name]

    def send_server(self, name: str, signum: signal.Signals) -> None:
        """A signal to a server, if it lives."""
        pid = self.server(name).pid
        if pid is not None:
            os.kill(pid, signum)

    def revive(self, name: str) -> None:
        """Start a killed server again, however often that takes."""
        server = self.server(name)
        while server.pid is None:
            try:
                server.revive()
            except ServerFailed:  # what is left of it still holds its memory
                continue

    def tell_simulator(self, method: str, body: dict[str, Any] | None = None) -> None:
        """Arm or clear its faults."""
        self._simulator.request(method, "/sim/faults", json=body).raise_for_status()

    def requests(self) -> list[dict[str, Any]]:
        """The log of the simulator."""
        answer = self._simulator.get("/sim/requests", params={"limit": 1_000_000})
        return answer.json()["requests"]

    def tell_redis(self, act: Callable[["redis.Redis"], object]) -> None:
        """Do something in Redis, if it answers."""
        try:
            act(self._redis)
        except (redis.RedisError, OSError):
            self._redis.connection_pool.disconnect()

    def push(self, messages: Iterable[bytes]) -> None:
        """Messages into the queue of steps."""
        self.tell_redis(lambda client: client.lpush(QUEUE, *messages))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask Postgres as its superuser; nothing while it is away."""
        try:
            with closing(psycopg.connect(self.urls.database_url, autocommit=True, connect_timeout=5)) as connection:
                return connection.execute(statement.encode()).fetchall()
        except psycopg.Error:
            return []

    def close(self) -> None:
        self._simulator.close()
        self._redis.close()
