"""What the routes work with, built once per process on its own event loop."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from agentfleet.agents.bundle import bundle_of
from agentfleet.api.auth import Authenticator
from agentfleet.api.deltas import DeltaReader
from agentfleet.api.watch import Watch
from agentfleet.bootstrap import Ingress
from agentfleet.domain.model import Bundle
from agentfleet.store import api_keys


@dataclass(frozen=True, slots=True)
class Services:
    """``pinned`` are the bundles that new runs get, by agent."""

    ingress: Ingress
    authenticate: Authenticator
    watch: Watch
    deltas: DeltaReader
    pinned: Mapping[str, Bundle]

    async def model_of(self, bundle_id: str) -> str:
        """The model that runs of this bundle call."""
        return str((await self.ingress.bundles.load(bundle_id)).spec["model"])


@asynccontextmanager
async def open_services(ingress: Ingress) -> AsyncIterator[Services]:
    """The services over ``ingress``, which the caller closes."""
    watch = Watch(ingress.db)
    deltas = DeltaReader(ingress.redis, prefix=ingress.settings.redis_prefix)
    pinned = {name: bundle_of(agent) for name, agent in ingress.registry.agents.items()}
    try:
        yield Services(ingress, Authenticator(lambda key: api_keys.authenticate(ingress.db, key)), watch, deltas, pinned)
    finally:
        await watch.close()
        await deltas.close()


def services(request: Request) -> Services:
    """The services of the application that answers ``request``."""
    found: Services = request.app.state.services
    return found
