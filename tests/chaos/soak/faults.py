"""The table of faults: what is hit, for how long, how it is inflicted, how it is healed."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from signal import SIGCONT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM
from typing import Literal

from agentfleet.broker.envelope import envelope
from agentfleet.domain.model import Doorbell
from tests.chaos.soak.field import QUEUE, Field, Hit
from tests.chaos.soak.supervisor import LEASE

Act = Callable[[Field, Hit], object]
Scope = Literal["held", "queued", "open", "reasoning", "requests"]
"""What a fault affects, of what is open when it begins: steps that the process hit holds, steps that wait for a claim,
both, model calls under way, or requests of clients."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. ``lasts``: seconds, at least and at most; ``None``: it is over at once."""

    name: str
    hits: str
    scope: Scope
    lasts: tuple[float, float] | None
    inflict: Act
    heal: Act = lambda _field, _hit: None


def _cut(server: str, field: Field, hit: Hit) -> None:
    link = field.supervisor.links[hit.target][server]
    hit.how["mode"] = hit.rng.choice(("blackhole", "refuse", "reset", "delay"))
    hit.how["pid"] = hit.victim.pid
    if hit.how["mode"] == "delay":
        link.delay = 0.3
    else:
        getattr(link, hit.how["mode"])()


def _mend(server: str, field: Field, hit: Hit) -> None:
    link = field.supervisor.links[hit.target][server]
    link.delay = 0.0
    link.heal()


def _terminate(field: Field, _hit: Hit) -> None:
    field.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'agentfleet%'"
        " AND pid <> pg_backend_pid()"
    )


def _foreign(field: Field, hit: Hit) -> None:
    stray = {
        "body": "W10=",
        "headers": {"task": hit.rng.choice(("someone.elses", "agentfleet.step")), "id": str(uuid.UUID(int=7))},
        "properties": {"delivery_tag": "stray", "delivery_info": {}, "body_encoding": "base64"},
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    field.push([b"\x80 no json", b"[]", b'{"headers": null}', json.dumps(stray).encode()])


def _copies(field: Field, _hit: Hit) -> None:
    """Five more messages each for the steps that wait or run: none of them may lead to anything."""
    rows = field.query(
        "SELECT id::text, run_id::text, pool, agent, kind, name, seq, attempt FROM steps"
        " WHERE state IN ('dispatched', 'running') LIMIT 100"
    )
    bells = [Doorbell(*row) for row in rows for _ in range(5)]
    if bells:
        field.push(envelope(bell, QUEUE) for bell in bells)


def _misbehave(fault: str, field: Field, _hit: Hit) -> None:
    field.tell_simulator("POST", {"fault": fault, "probability": 0.4})


def _behave(field: Field, _hit: Hit) -> None:
    field.tell_simulator("DELETE")


def _kill(field: Field, hit: Hit) -> None:
    field.send(hit, SIGKILL)


def _pause(field: Field, hit: Hit) -> None:
    field.send(hit, SIGSTOP)


def _server(name: str, lasts: tuple[float, float], title: str, scope: Scope) -> Fault:
    kill, revive = lambda f, _h: f.send_server(name, SIGKILL), lambda f, _h: f.revive(name)
    return Fault(title, name, scope, lasts, kill, revive)


def _cuts(server: str, lasts: tuple[float, float]) -> Fault:
    title = f"worker cut off: {server.removesuffix('_url').removesuffix('_base')}"
    return Fault(title, "worker", "held", lasts, partial(_cut, server), partial(_mend, server))


def _provider(fault: str) -> Fault:
    return Fault(f"provider: {fault}", "provider", "reasoning", (1, 3), partial(_misbehave, fault), _behave)


PAST_A_LEASE = (LEASE + 0.5, LEASE + 3)
FAULTS = (
    Fault("worker: kill -9", "worker", "held", None, _kill),
    Fault("worker: stopped", "worker", "held", PAST_A_LEASE, _pause, Field.resume),
    Fault("worker: SIGTERM", "worker", "held", None, lambda f, h: f.send(h, SIGTERM)),
    Fault("worker: SIGQUIT", "worker", "held", None, lambda f, h: f.send(h, SIGQUIT)),
    _cuts("database_url", (0.5, LEASE + 3)),
    _cuts("redis_url", (0.5, LEASE + 3)),
    _cuts("provider_base_url", (0.5, LEASE + 3)),
    _server("redis", (0.5, 3), "redis: killed, back empty", "queued"),
    Fault("redis: FLUSHALL", "redis", "queued", None, lambda f, _h: f.tell_redis(lambda client: client.flushall())),
    Fault(
        "redis: stopped",
        "redis",
        "queued",
        (1, 5),
        lambda f, _h: f.send_server("redis", SIGSTOP),
        lambda f, _h: f.send_server("redis", SIGCONT),
    ),
    _server("postgres", (0.2, 2), "postgres: kill -9", "open"),
    Fault("postgres: connections cut", "postgres", "open", None, _terminate),
    Fault("dispatcher: kill -9", "dispatcher", "queued", None, _kill),
    Fault("dispatcher: stopped", "dispatcher", "queued", PAST_A_LEASE, _pause, Field.resume),
    Fault("reconciler: kill -9", "reconciler", "queued", None, _kill),
    Fault("reconciler: stopped", "reconciler", "queued", PAST_A_LEASE, _pause, Field.resume),
    Fault("ingress: kill -9", "ingress", "requests", None, _kill),
    Fault("ingress: SIGTERM", "ingress", "requests", None, lambda f, h: f.send(h, SIGTERM)),
    *map(_provider, ("rate_limited_bare", "overloaded", "server_error", "stream_stall", "stream_reset", "lost_answer")),
    Fault("queue: foreign messages", "redis", "queued", None, _foreign),
    Fault("queue: every message again", "redis", "queued", None, _copies),
    Fault("clients: cancel", "clients", "requests", (0.5, 1), lambda f, _h: f.load.cancel_some()),
)
