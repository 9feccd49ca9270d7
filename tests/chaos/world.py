"""A fleet in one process under frozen time: workers, two reconcilers, an ingress, a broker that keeps its messages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import psycopg
from sqlalchemy import text

from agentfleet.domain.budget import Budget
from agentfleet.domain.errors import ToolRetry
from agentfleet.domain.keys import effect_key
from agentfleet.domain.model import Bundle, Claimed, Doorbell
from agentfleet.domain.plan import Rules, Turn
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.cancel import Canceller, Expirer
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.ports import Reasoned, ReasonRequest, ToolResult
from agentfleet.engine.promote import Promoter
from agentfleet.engine.replay import Undertaker
from agentfleet.engine.republish import Republisher
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.serve import StepServer
from agentfleet.engine.settle import Settler
from agentfleet.engine.submit import Submitter
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, LOST_CONNECTION, Database, DatabaseConfig
from tests.chaos.ledger import Ledger
from tests.chaos.virtual import FROZEN, Line, Loop, Mishap, Traffic
from tests.factories import BUNDLE, POOL, save_bundle
from tests.scripted import USAGE, Bells, Script, Tools, Worker

LEASE = 60.0
WINDOW = 3
POLICY = RetryPolicy(max_attempts=3)
THRIFTY = Bundle("bundle-thrifty", BUNDLE.agent, BUNDLE.spec)
BUDGETS = {BUNDLE.id: Budget(), THRIFTY.id: Budget(max_tool_calls=2, max_cost_usd=Decimal("0.02"))}
NEVER = 86_400.0
DUTIES = {
    "expire": ("overdue_runs.after", "end_runs.before", "end_runs.after"),
    "rescue": ("expired_leases.after", "settle_steps.before", "settle_steps.after"),
    "promote": ("promote_steps.after",),
    "dispatch": ("dispatch_steps.after", "publish"),
    "republish": ("republish_steps.after", "publish"),
}
"""The duties in the order in which one makes work for the next, and where each may be held up."""


class World:
    """One database and one event loop for all examples; ``begin`` makes a new world on them."""

    def __init__(self, database_url: str) -> None:
        self._runner = asyncio.Runner(loop_factory=Loop)
        self._loop = cast("Loop", self._runner.get_loop())
        self.owner = psycopg.connect(database_url, autocommit=True, prepare_threshold=0)
        self.owner.execute(FROZEN.encode(), prepare=False)
        self._databases = [
            Database(DatabaseConfig(database_url, role, "test-world", pool_size=4)) for role in (FLEET_ROLE, APP_ROLE)
        ]
        self._fleet_db, self.app_db = self._databases
        for db in self._databases:
            self.run(db.open())
        for bundle in (BUNDLE, THRIFTY):
            self.run(save_bundle(self._fleet_db, bundle))
        self.lines: list[Line] = []

    def begin(self) -> None:
        """Everything anew: no rows, no messages, no worker of before."""
        for line in self.lines:
            line.die()
        self.owner.execute("DELETE FROM runs")
        self.lines, self._numbers, self.scripts = [], 0, dict[str, Sequence[Turn]]()
        self.ledger = Ledger(lambda: self._loop.now)
        self.traffic, self.bells = Traffic(self.ledger.saw), Bells()
        self.tasks = set[asyncio.Task[object]]()
        self.workers = [WorkerProcess(self) for _ in range(2)]
        self.reconcilers = [Reconciler(self) for _ in range(2)]
        self.ingress = Ingress(self)

    def close(self) -> None:
        for db in self._databases:
            self.run(db.close())
        self.owner.close()
        self._runner.close()

    def run(self, work: Awaitable[Any]) -> Any:
        """Do it to its end."""

        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())

    def start(self, *works: Awaitable[object]) -> None:
        """Begin all of it, and come back when nothing moves any more."""

        async def started() -> None:
            self.tasks |= {asyncio.ensure_future(self._watched(work)) for work in works}
            await self.traffic.quiet()
            self.tasks = {task for task in self.tasks if not task.done()}

        self.run(started())

    def line(self, kind: str) -> Line:
        """The connection of a new process."""
        self._numbers += 1
        self.lines.append(Line(f"{kind}:{self._numbers}", self._fleet_db, self.traffic))
        return self.lines[-1]

    def pass_time(self, seconds: float) -> None:
        """Move every clock; what has waited for that goes on."""
        now, then = self._loop.now, self._loop.now + seconds
        self.ledger.excuse(lambda hold: now < hold.until <= then)
        self.owner.execute("UPDATE frozen_clock SET at = at + make_interval(secs => %s)", (seconds,))
        self._loop.now = then
        self.start()

    def rows(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        return self.owner.execute(query.encode(), params).fetchall()

    def seen_by(self, tenant: str, table: str) -> int:
        """How many rows a tenant's connection can see, with no WHERE to help."""

        async def counted() -> int:
            async with self.app_db.reading(tenant) as connection:
                return await connection.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608  # a name of ours

        return self.run(counted())

    async def _watched(self, work: Awaitable[object]) -> None:
        """A process may lose its connection or its life; anything else is a bug."""
        try:
            await work
        except (*LOST_CONNECTION, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001  # reported by the next look at the ledger
            self.ledger.violations.append(f"unexpected: {error!r}")


class WorkerProcess:
    """One step worker. ``trouble`` is what its next model or tool call fails with."""

    def __init__(self, world: World) -> None:
        self._world, self.line = world, world.line("worker")
        self.trouble: Exception | None = None
        model, tools = Mind(self, world.ledger, world.scripts), Hands(self, world.ledger)
        db, bells = cast("Database", self.line), Voice(self.line, world.bells)
        self._worker = Worker(
            db,
            bells,
            model,
            tools,
            name=self.line.name,
            lease=LEASE,
            window=WINDOW,
            clock=world.ledger.clock,
            policy=POLICY,
            reason_timeout=NEVER,
        )
        self.leases = self._worker.leases
        execute = cast("Any", self)
        self.server = StepServer(db, bells, execute, self.leases, Canceller(db, bells), heartbeat=NEVER, pool=POOL)

    @property
    def stuck(self) -> bool:
        return self._worker.execute.stuck

    async def __call__(self, step_id: str) -> str | None:
        """Its executor, watched: the server only logs what it does not expect."""
        try:
            return await self._worker.execute(step_id)
        except LOST_CONNECTION:
            raise
        except Exception as error:
            self._world.ledger.violations.append(f"unexpected: {error!r}")
            raise

    def deliver(self, step_ids: Sequence[str], mishaps: Mapping[str, Mishap], trouble: Exception | None = None) -> None:
        """Messages arrive together; ``mishaps`` and ``trouble`` are over when nothing moves any more."""
        self.line.mishaps, self.trouble = dict(mishaps), trouble

        async def arrive() -> None:
            for step_id in step_ids:
                self.server.start(step_id, lambda _: None)

        self._world.start(arrive())
        self.line.mishaps, self.trouble = {}, None

    def kill(self) -> None:
        """SIGKILL."""
        self._world.ledger.excuse(lambda hold: hold.line == self.line.name)

        async def killed() -> None:
            self.line.die()
            for task in self.server._running:
                task.cancel()

        self._world.start(killed())

    def drain(self, late: Sequence[str]) -> None:
        """SIGTERM with no patience; ``late`` are messages that it has taken and does not claim."""
        self._world.ledger.excuse(lambda hold: hold.line == self.line.name)
        self.server.close()
        self.deliver(late, {})
        self._world.start(self.server.drain(0))


class Reconciler:
    """One leader of every duty; another one may lead at the same time."""

    def __init__(self, world: World) -> None:
        self._world, self.line = world, world.line("reconciler")
        db, bells = cast("Database", self.line), Voice(self.line, world.bells)
        settler = Settler(db, bells, window=WINDOW)
        self.duties: dict[str, Callable[[], Awaitable[int]]] = {
            "dispatch": Dispatcher(db, bells, pool=POOL, window=WINDOW).run_once,
            "promote": Promoter(db, bells).run_once,
            "rescue": Rescuer(db, settler, bells, POLICY, pool=POOL, lease=LEASE, heartbeat=0, poll=0).run_once,
            "republish": Republisher(db, bells, pool=POOL, after=5).run_once,
            "expire": Expirer(db, Canceller(db, bells)).run_once,
        }

    def do(self, duty: str, mishaps: Mapping[str, Mishap]) -> None:
        """One round of one duty."""
        self.line.mishaps = dict(mishaps)
        self._world.start(self.duties[duty]())
        self.line.mishaps = {}


class Ingress:
    """What the API works with; its connection is a tenant's."""

    def __init__(self, world: World) -> None:
        self.line = world.line("ingress")
        self.line._db = world.app_db
        db, bells = cast("Database", self.line), Voice(self.line, world.bells)
        self.submit = Submitter(db, bells, window=WINDOW)
        self.canceller = Canceller(db, bells)
        self.undertaker = Undertaker(db, bells, self.canceller)


class Voice:
    """The broker as one process reaches it."""

    def __init__(self, line: Line, bells: Bells) -> None:
        self._line, self._bells = line, bells

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        await self._line.point("publish")
        await self._bells.publish(doorbells)

    async def wake(self, pool: str) -> None: ...

    async def revoke(self, step_ids: Sequence[str]) -> None:
        await self._bells.revoke(step_ids)


class Mind(Script):
    """The model as one worker reaches it: every run has its script."""

    def __init__(self, worker: WorkerProcess, ledger: Ledger, scripts: Mapping[str, Sequence[Turn]]) -> None:
        self._worker, self._ledger, self._scripts = worker, ledger, scripts

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        del on_text
        self._ledger.begins(self._worker.line.name, request.run_id, request.step_id, None)
        trouble, self._worker.trouble = self._worker.trouble, None
        self._ledger.calls += trouble is None
        await self._worker.line.point("model")
        if trouble is not None:
            raise trouble
        said = sum(message.role == "assistant" for message in request.conversation)
        return Reasoned(self._scripts[request.run_id][said], USAGE, "{}", f"req_{request.step_id}")


class Hands(Tools):
    """The tools as one worker has them; the outside world keeps a ledger."""

    def __init__(self, worker: WorkerProcess, ledger: Ledger) -> None:
        super().__init__()
        self._worker, self._ledger = worker, ledger

    async def call(self, claimed: Claimed, call_id: str, arguments: Mapping[str, Any]) -> ToolResult:
        del arguments
        self._ledger.begins(self._worker.line.name, claimed.run_id, claimed.step_id, claimed.fence)
        trouble, self._worker.trouble = self._worker.trouble, None
        if isinstance(trouble, ToolRetry):
            raise trouble  # it says so before it has done anything
        key = effect_key(claimed.run_id, claimed.step_id, call_id)
        self._ledger.effect(claimed.step_id, claimed.effect, (claimed.run_id, claimed.turn, claimed.part), key)
        await self._worker.line.point("tool")
        if trouble is not None:
            raise trouble
        return ToolResult("ok")

    def rules(self, bundle: Bundle) -> Rules:
        self.budget = BUDGETS[bundle.id]
        return super().rules(bundle)
