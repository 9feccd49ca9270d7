"""What the routes work with, built once per process on its own event loop."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from agentfleet.agents.bundle import bundle_of
from agentfleet.api import budget_documents, documents
from agentfleet.api.auth import Authenticator
from agentfleet.api.deltas import DeltaReader
from agentfleet.api.reader import RunReader
from agentfleet.api.recent import Recent
from agentfleet.api.watch import Watch
from agentfleet.api.why import Explainer
from agentfleet.bootstrap import Ingress
from agentfleet.bootstrap.scale import scale_policies
from agentfleet.domain.budget import Budget, budget_from_json
from agentfleet.domain.model import Bundle, NextStep
from agentfleet.domain.plan import first_step
from agentfleet.domain.retention import Keep
from agentfleet.domain.waste import By
from agentfleet.engine.autoscale import Autoscaler
from agentfleet.engine.usage import Report, report
from agentfleet.provider.prices import cost
from agentfleet.store import api_keys, health
from agentfleet.store.reads import Record
from agentfleet.store.retention import keep_of


class Limited(Protocol):
    """A run, as far as its ceilings go."""

    @property
    def budget(self) -> str | None: ...
    @property
    def bundle_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Services:
    """``pinned`` and ``first`` are the bundle and the first step that new runs get, by agent."""

    ingress: Ingress
    authenticate: Authenticator
    read_run: RunReader
    explain: Explainer
    report_usage: Recent[tuple[str, float, By], Report]
    keep: Recent[str, Keep]
    autoscale: Autoscaler
    watch: Watch
    deltas: DeltaReader
    pinned: Mapping[str, Bundle]
    first: Mapping[str, NextStep]

    async def model_of(self, bundle_id: str) -> str:
        """The model that runs of this bundle call."""
        return str((await self.ingress.bundles.load(bundle_id)).spec["model"])

    async def budget_of(self, row: Limited) -> Budget:
        """The ceilings of a run: those that it was changed to, or those of its bundle."""
        if row.budget is not None:
            return budget_from_json(json.loads(row.budget))
        return budget_from_json((await self.ingress.bundles.load(row.bundle_id)).spec["budget"])

    async def document_of(self, row: Record, *, why: bool = True) -> documents.Document:
        """A run as clients see it; with ``why`` it is told what it waits for."""
        reason = await self.explain(row) if why else None
        budget = budget_documents.of_run(row, await self.budget_of(row))
        keep = await self.keep(row.tenant_id)
        return documents.run(row, await self.model_of(row.bundle_id), reason, budget, keep)


@asynccontextmanager
async def open_services(ingress: Ingress) -> AsyncGenerator[Services]:
    """The services over ``ingress``, which the caller closes."""
    watch = Watch(ingress.db)
    deltas = DeltaReader(ingress.redis, prefix=ingress.settings.redis_prefix)
    health.needed()  # read now: the first readiness probe must not hold up the requests beside it
    authenticate = Authenticator(lambda key: api_keys.authenticate(ingress.db, key))
    agents = ingress.registry.agents
    pinned = {name: bundle_of(agent) for name, agent in agents.items()}
    first = {name: first_step(agent.first_model) for name, agent in agents.items()}
    try:
        yield Services(
            ingress,
            authenticate,
            RunReader(ingress.db),
            Explainer(ingress.db),
            Recent(lambda asked: _usage(ingress, *asked)),
            Recent(lambda tenant_id: keep_of(ingress.db, tenant_id, ingress.settings.keep())),
            Autoscaler(ingress.db, scale_policies(ingress.settings)),
            watch,
            deltas,
            pinned,
            first,
        )
    finally:
        await watch.close()
        await deltas.close()


async def _usage(ingress: Ingress, tenant_id: str, since: float, by: By) -> Report:
    return await report(ingress.db, since=since, by=by, price=cost, tenant_id=tenant_id)


def services(request: Request) -> Services:
    """The services of the application that answers ``request``."""
    found: Services = request.app.state.services
    return found
