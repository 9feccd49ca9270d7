"""Which processes make up a stack, and what each is told."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentfleet.dev.child import free_port
from agentfleet.dev.embedded import Urls
from agentfleet.dev.env import StackEnv
from agentfleet.dev.process import Program
from agentfleet.dev.scaler import scale_environment
from agentfleet.settings import Settings

SIMULATOR_KEY = "sim"
"""The simulator takes any key."""
DEMO_AGENTS = "examples.dependency_audit.agent"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What may be chosen about a stack."""

    modules: tuple[str, ...] = ()
    """Where agents are; the setting AGENTFLEET_AGENTS, or else the demo's, unless given."""
    port: int | None = None
    """Of the ingress; the setting, or a free one when that is taken, unless given."""
    workers: int = 2
    data_dir: Path = Path(".agentfleet")
    simulator: tuple[str, ...] = ()
    """Arguments of the simulator."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of every process that differ from ours."""
    max_workers: int | None = None
    """Of an autoscaler, which then keeps `workers` at least; none: always so many."""


def agent_modules(options: StackOptions, settings: Settings) -> tuple[str, ...]:
    """The modules whose agents this stack runs."""
    return options.modules or settings.agents or (DEMO_AGENTS,)


def needs_simulator(settings: Settings) -> bool:
    """Whether nobody said which model to call."""
    told = settings.provider_api_key or settings.provider_base_url or settings.accounts
    return settings.provider == "anthropic" and not told


def plan_env(settings: Settings, urls: Urls, port: int, *, agents: str = "") -> StackEnv:
    """Addresses for a new stack; the API key is made once the database is ready."""
    token = settings.internal_token
    return StackEnv(
        api_url=f"http://127.0.0.1:{port}",
        api_key="",
        database_url=urls.database_url,
        redis_url=urls.redis_url,
        flower_url=f"http://dev:{secrets.token_urlsafe(12)}@127.0.0.1:{free_port()}",
        simulator_url=f"http://127.0.0.1:{free_port()}" if needs_simulator(settings) else None,
        agents=agents,
        internal_token=token.get_secret_value() if token else secrets.token_urlsafe(24),
    )


def programs(options: StackOptions, settings: Settings, env: StackEnv) -> Iterator[Program]:
    """Every process of the stack except the servers, in the order in which they are started."""
    shared = {
        "AGENTFLEET_DATABASE_URL": env.database_url,
        "AGENTFLEET_REDIS_URL": env.redis_url,
        "AGENTFLEET_AGENTS": ",".join(agent_modules(options, settings)),
        "AGENTFLEET_INTERNAL_TOKEN": env.internal_token,
        **({} if options.max_workers is None else scale_environment(settings, options.workers, options.max_workers)),
        "AGENTFLEET_METRICS_HOST": "127.0.0.1",
        **options.environment,
    }
    if env.simulator_url is not None:
        shared |= {"AGENTFLEET_PROVIDER_BASE_URL": env.simulator_url, "AGENTFLEET_PROVIDER_API_KEY": SIMULATOR_KEY}
        listen = ("--host", "127.0.0.1", "--port", env.simulator_url.rpartition(":")[2])
        yield Program("simulator", 1, ("agentfleet.simulator", *listen, *options.simulator))
    steps = Program("steps", 1, ("workers.steps",), shared, metrics_port=0)
    yield from (replace(steps, number=number) for number in range(1, options.workers + 1))
    ingress = {**shared, "AGENTFLEET_HOST": "127.0.0.1", "AGENTFLEET_PORT": env.api_url.rpartition(":")[2]}
    yield Program("ingress", 1, ("workers.ingress",), ingress, metrics_port=int(ingress["AGENTFLEET_PORT"]))
    yield Program("dispatcher", 1, ("workers.dispatcher",), shared, metrics_port=0)
    yield Program("reconciler", 1, ("workers.reconciler",), shared, metrics_port=0)
    if settings.provider == "anthropic":
        yield Program("batches", 1, ("workers.batches",), shared, metrics_port=0)
    user, _, place = env.flower_url.removeprefix("http://").partition("@")
    host, _, port = place.partition(":")
    public = {} if "public_url" in settings.model_fields_set else {"AGENTFLEET_PUBLIC_URL": env.api_url}
    history = str(options.data_dir.resolve() / "flower")
    told = {"FLOWER_ADDRESS": host, "FLOWER_PORT": port, "FLOWER_BASIC_AUTH": user, "FLOWER_DB": history}
    flower = {**shared, **public, **told}
    yield Program("flower", 1, ("workers.flower",), flower, port=int(port), metrics_port=int(port))
