"""The one composition root: settings in, wired objects out. One function per kind of process.

Everything here is built on the event loop that will use it, after any fork.
"""

import os
import socket
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.cached import CachedToolbox
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.bootstrap.provider import (
    admission,
    answer_shelf,
    provider_accounts,
    provider_limits,
    published_limits,
)
from agentfleet.bootstrap.retention import pruner, run_pruner
from agentfleet.bootstrap.servers import check, database, redis_client, servers
from agentfleet.bootstrap.tracing import traced, with_spans
from agentfleet.broker import names
from agentfleet.broker.deltas import RedisDeltas
from agentfleet.broker.loop import Serving
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.broker.pulse import PULSE
from agentfleet.broker.watchdog import Watchdog
from agentfleet.caching.answers import CachingReasoner
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.webhooks import signing_key
from agentfleet.engine.admit import Admitter
from agentfleet.engine.alert import AlertSender
from agentfleet.engine.autoscale import ScaleGauges
from agentfleet.engine.batch import BatchLane
from agentfleet.engine.budget import Reserver
from agentfleet.engine.cancel import Canceller, Expirer
from agentfleet.engine.claim import Claims
from agentfleet.engine.crowding import Crowding
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.execute import Executor
from agentfleet.engine.heartbeat import Leases
from agentfleet.engine.letters import LetterWatch
from agentfleet.engine.loads import LoadMeter
from agentfleet.engine.measure import Meter
from agentfleet.engine.perform import Performer
from agentfleet.engine.promote import Promoter
from agentfleet.engine.prune import Pruner, RunPruner
from agentfleet.engine.receive import Receiver
from agentfleet.engine.replay import Undertaker
from agentfleet.engine.republish import Republisher
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.send import Sender
from agentfleet.engine.serve import StepServer
from agentfleet.engine.settle import Settler
from agentfleet.engine.submit import Submitter
from agentfleet.engine.survey import Surveyor
from agentfleet.provider.batch_result import read_result
from agentfleet.provider.batches import make_batches
from agentfleet.provider.caps import read_caps
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.models import group_of
from agentfleet.provider.prices import worst_case
from agentfleet.provider.published import PublishedLimits
from agentfleet.provider.quota import Quota
from agentfleet.provider.warmth import Warmth
from agentfleet.settings import Settings
from agentfleet.store.bundles import Bundles
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, Database
from agentfleet.telemetry import metrics

__all__ = [
    "Batching", "Ingress", "Reconciler", "admission", "answer_shelf", "batches", "check", "database", "ingress",
    "provider_accounts", "provider_limits", "reconciler", "redis_client", "worker",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ingress:
    """What the HTTP API works with."""

    settings: Settings
    db: Database
    redis: Redis
    registry: Registry
    bundles: Bundles
    publisher: RedisPublisher
    submit: Submitter
    canceller: Canceller
    undertaker: Undertaker


@dataclass(frozen=True, slots=True)
class Reconciler:
    """The duties that keep every run moving, and the dispatcher of one pool."""

    settings: Settings
    db: Database
    redis: Redis
    publisher: RedisPublisher
    dispatcher: Dispatcher
    admitter: Admitter
    promoter: Promoter
    rescuer: Rescuer
    republisher: Republisher
    expirer: Expirer
    pruner: Pruner
    run_pruner: RunPruner
    meter: Meter
    alerts: AlertSender
    letters: LetterWatch
    surveyor: Surveyor
    published_limits: PublishedLimits | None
    loads: LoadMeter
    scale_gauges: ScaleGauges


@dataclass(frozen=True, slots=True)
class Batching:
    """What serves the batch lane."""

    db: Database
    sender: Sender
    receiver: Receiver


def worker_name() -> str:
    """``host:pid``: who holds a lease, for humans."""
    return f"{socket.gethostname()}:{os.getpid()}"


def retry_policy(settings: Settings) -> RetryPolicy:
    """How failed steps are tried again, unless their agent says otherwise."""
    return RetryPolicy(settings.max_attempts, settings.retry_base, settings.retry_cap)


def alert_sender(settings: Settings, db: Database) -> AlertSender:
    """Who tells humans."""
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    key = None if secret is None else signing_key(secret.get_secret_value())
    return AlertSender(db, None if url is None else url.get_secret_value(), key)


@asynccontextmanager
async def ingress(settings: Settings) -> AsyncGenerator[Ingress]:
    """The HTTP API's parts, connected."""
    async with AsyncExitStack() as stack:
        stack.enter_context(traced(settings, "ingress", worker_name()))
        db, redis = await servers(stack, settings, APP_ROLE, "ingress")
        publisher = RedisPublisher(redis, prefix=settings.redis_prefix)
        canceller = Canceller(db, publisher)
        yield Ingress(
            settings,
            db,
            redis,
            Registry.load(settings.agents),
            Bundles(db),
            publisher,
            Submitter(db, publisher, window=settings.dispatch_window),
            canceller,
            Undertaker(db, publisher, canceller),
        )


@asynccontextmanager
async def worker(settings: Settings) -> AsyncGenerator[Serving]:
    """A step worker's parts, connected."""
    async with AsyncExitStack() as stack:
        stack.enter_context(traced(settings, "steps", worker_name()))
        db, redis = await servers(stack, settings, FLEET_ROLE, "worker")
        publisher = RedisPublisher(redis, prefix=settings.redis_prefix)
        threads = ThreadPoolExecutor(settings.tool_threads, thread_name_prefix="tool")
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)  # nobody can stop a thread
        admit = admission(settings, redis)
        stack.push_async_callback(admit.close)
        name = worker_name()
        crowding = Crowding(db, name)
        stack.push_async_callback(crowding.close)
        reasoner = make_reasoner(
            settings.provider,
            base_url=settings.provider_base_url,
            api_key=None if settings.provider_api_key is None else settings.provider_api_key.get_secret_value(),
            accounts=provider_accounts(settings),
            limits=provider_limits(settings),
            quota=Quota(
                admit, reads_count=read_caps(settings.provider_limits).reads_count, probe=settings.provider_probe
            ),
            warmth=Warmth(redis, prefix=settings.redis_prefix, patience=settings.provider_stagger),
            crossed=crowding,
        )
        stack.push_async_callback(reasoner.close)
        deltas = RedisDeltas(redis, prefix=settings.redis_prefix)
        stack.push_async_callback(deltas.close)
        leases = Leases(db, lease=settings.lease, pool=settings.pool)
        release = settings.release or metrics.running_version()
        registry, shelf = Registry.load(settings.agents), answer_shelf(settings, redis)
        toolbox = CachedToolbox(AgentToolbox(registry, threads), registry, shelf, release=release)
        bundles = Bundles(db)
        await bundles.warm([bundle_of(agent).id for agent in registry.agents.values()])
        performer = Performer(
            bundles,
            CachingReasoner(with_spans(reasoner, settings.provider), shelf, toolbox.rules),
            toolbox,
            deltas,
            retry_policy(settings),
            reason_timeout=settings.reason_timeout,
            reserve=Reserver(db, worst_case),
            lane=BatchLane(db, read_result, margin=settings.batch_spill_margin),
        )
        settler = Settler(db, publisher, window=settings.dispatch_window, release=release)
        execute = Executor(Claims(db, worker=name, lease=settings.lease), leases, performer, settler, worker=name)
        server = StepServer(
            db, publisher, execute, leases, Canceller(db, publisher), heartbeat=settings.heartbeat, pool=settings.pool
        )
        metrics.SLOTS.labels(settings.pool).set(settings.worker_capacity)
        queue = names.queue(settings.redis_prefix, settings.pool)
        watchdog = Watchdog(redis, queue, pops=lambda: PULSE.pops, patience=settings.stuck_after)
        yield Serving(server, redis, names.revoke(settings.redis_prefix), watchdog)
        await publisher.flush()


@asynccontextmanager
async def reconciler(settings: Settings) -> AsyncGenerator[Reconciler]:
    """The dispatcher's and the reconciler's parts, connected."""
    async with AsyncExitStack() as stack:
        db, redis = await servers(stack, settings, FLEET_ROLE, "reconciler")
        publisher = RedisPublisher(redis, prefix=settings.redis_prefix)
        settler = Settler(db, publisher, window=settings.dispatch_window)
        alerts = alert_sender(settings, db)
        stack.push_async_callback(alerts.close)
        admit = admission(settings, redis)
        stack.push_async_callback(admit.close)
        yield Reconciler(
            settings,
            db,
            redis,
            publisher,
            Dispatcher(db, publisher, pool=settings.pool, window=settings.dispatch_window),
            Admitter(db, publisher, admit, pool=settings.pool),
            Promoter(db, publisher),
            Rescuer(
                db,
                settler,
                publisher,
                retry_policy(settings),
                pool=settings.pool,
                lease=settings.lease,
                heartbeat=settings.heartbeat,
                poll=settings.reconcile_poll,
            ),
            Republisher(
                db,
                publisher,
                pool=settings.pool,
                after=settings.republish_after,
                empty=partial(publisher.empty, settings.pool),
            ),
            Expirer(db, Canceller(db, publisher)),
            pruner(settings, db),
            run_pruner(settings, db),
            Meter(db),
            alerts,
            LetterWatch(db),
            Surveyor(db, admit),
            published_limits(settings, admit),
            LoadMeter(db, admit, pool=settings.pool, group_of=group_of),
            ScaleGauges(db),
        )


@asynccontextmanager
async def batches(settings: Settings) -> AsyncGenerator[Batching]:
    """The batch lane's parts, connected; raises ``InvalidInput`` for a provider that has no batches."""
    async with AsyncExitStack() as stack:
        db, _ = await servers(stack, settings, FLEET_ROLE, "batches")
        service = make_batches(
            settings.provider,
            base_url=settings.provider_base_url,
            api_key=None if settings.provider_api_key is None else settings.provider_api_key.get_secret_value(),
            accounts=provider_accounts(settings),
            limits=provider_limits(settings),
        )
        stack.push_async_callback(service.close)
        sender = Sender(
            db,
            Bundles(db),
            service,
            margin=settings.batch_spill_margin,
            max_requests=settings.batch_max_requests,
            recover_after=settings.batch_recover_after,
        )
        yield Batching(db, sender, Receiver(db, service, poll=settings.batch_every))
