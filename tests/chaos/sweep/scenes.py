"""How the points are reached: each scene starts the process that will break where it will pass its point.

A scene returns once the process has broken, with what must become of the run.
"""

import signal

from agentfleet.simulator.armed import Match, Order
from tests.acceptance.fleet import TENANT, Process, until
from tests.chaos.sweep.plan import FINAL, FIRST, IDEMPOTENT, REASONS, UNSAFE, Case
from tests.chaos.sweep.stage import REPUBLISH_AFTER, Stage, said

DONE, REVIEW = "succeeded", "needs_review"
NTH = {FIRST: 1, IDEMPOTENT: 1, UNSAFE: 2, FINAL: 3}
"""Which of the model calls, or of the tool calls, the step is."""
TOOL = {IDEMPOTENT: "note", UNSAFE: "charge"}


class Scene:
    """One case on its stage."""

    def __init__(self, stage: Stage, case: Case) -> None:
        self.stage, self.case = stage, case
        self.run = ""
        self.armed: Process

    def arm(self, **settings: object) -> Process:
        """Start the process that will break."""
        self.armed = self.stage.start(self.case.route.process, self.case.spec, **settings)
        return self.armed

    def others(self, *kinds: str) -> None:
        """Start healthy ones of these kinds, but none of the kind that will break."""
        for kind in kinds:
            if kind != self.case.route.process:
                self.stage.start(kind)

    async def broken(self) -> None:
        """Wait until it has broken as it was told; a kill and a pause must have done their work, too."""
        armed, action = self.armed, self.case.action
        point = f"{self.case.route.point}.{self.case.moment}"
        await until(lambda: broke(armed, point, action) or armed.code is not None, f"{point} is passed")
        assert broke(armed, point, action), f"{armed.name} ended with {armed.code} without passing {point}"
        if action == "kill":
            assert await armed.wait() == -signal.SIGKILL
        if action == "pause":
            await until(lambda: stopped(armed.pid), f"{armed.name} is stopped")

    async def lost_in(self, step: str, spec: str | None = None) -> None:
        """A run, whose worker is killed in this step; ``spec`` says how, else in the middle of its work."""
        call = "reason" if step in REASONS else "tool"
        victim = self.stage.start("steps", spec or f"{call}.before:kill@{NTH[step]}")
        self.run = await self.stage.submit()
        assert await victim.wait() == -signal.SIGKILL

    async def again(self) -> str:
        """One run more."""
        return await self.stage.submit()

    # The scenes

    async def flow(self) -> str:
        """A run in a worker."""
        self.others("dispatcher", "reconciler")
        self.arm()
        self.run = await self.stage.submit()
        await self.broken()
        return await self.promise()

    async def capped(self) -> str:
        """The same, of a tenant with a cap: every step reserves."""
        cap = 'INSERT INTO tenants (id, daily_budget) VALUES (%(tenant)s, \'{"max_cost_usd": "100"}\')'
        again = "ON CONFLICT (id) DO UPDATE SET daily_budget = excluded.daily_budget RETURNING id"
        await self.stage.rows(f"{cap} {again}", tenant=TENANT)
        return await self.flow()

    async def slow(self) -> str:
        """The same, with a step that outlasts a heartbeat."""
        step = self.case.step
        self.others("dispatcher", "reconciler")
        if step in TOOL:
            self.stage.file(f"hold-{TOOL[step]}").touch()
        else:
            self.fault("stream_drip", turn=REASONS[step] - 1)
        self.arm()
        self.run = await self.stage.submit()
        await self.broken()
        promise = await self.promise()
        for tool in TOOL.values():
            self.stage.file(f"hold-{tool}").unlink(missing_ok=True)
        return promise

    async def locked(self) -> str:
        """Somebody holds the run's row while its step wants to settle."""
        tool = TOOL[self.case.step]
        self.stage.file(f"hold-{tool}").touch()
        self.others("dispatcher", "reconciler")
        self.arm()
        self.run = await self.stage.submit()
        await until(lambda: self.stage.calls(tool, self.run), f"{tool} is called")
        async with self.stage.db.transaction():
            await self.stage.rows("SELECT FROM runs WHERE id = %(run)s FOR UPDATE", run=self.run)
            self.stage.file(f"hold-{tool}").unlink()
            await self.broken()
        return await self.promise()

    async def backlog(self) -> str:
        """A pool with a backlog: the worker leaves each next step to the dispatcher, and wakes it."""
        paused = await self.stage.submit()
        await self.stage.rows("UPDATE runs SET state = 'paused' WHERE id = %(run)s RETURNING id", run=paused)
        ready = "UPDATE steps SET state = 'ready', dispatched_at = NULL WHERE run_id = %(run)s RETURNING id"
        await self.stage.rows(ready, run=paused)  # nobody dispatches it, and as long as it waits nobody passes it
        await self.stage.redis.delete(self.stage.queue)
        self.others("dispatcher", "reconciler")
        self.arm()
        self.run = await self.stage.submit()
        await self.broken()
        assert await self.stage.parts.canceller.cancel(paused, tenant_id=TENANT)
        return await self.promise()

    async def rescue(self) -> str:
        """A worker has died; the reconciler takes its step back, and the dispatcher sends it."""
        await self.lost_in(self.case.step)
        await self.stage.holds("SELECT FROM steps WHERE lease_until < agentfleet_now()", "the lease is over")
        if self.case.route.process == "dispatcher":
            self.others("reconciler", "steps")
            await self.stage.holds("SELECT FROM steps WHERE state = 'ready'", "the step is rescued")
        else:
            self.others("dispatcher", "steps")
        self.arm()
        await self.broken()
        return REVIEW if self.case.step == UNSAFE else DONE

    async def lost(self) -> str:
        """A message was lost; the reconciler sends it again."""
        nth = {FIRST: 1, IDEMPOTENT: 2, UNSAFE: 4, FINAL: 5}[self.case.step]
        await self.lost_in(self.case.step, f"receive.before:kill@{nth}")
        late = (
            "SELECT FROM steps WHERE state = 'dispatched' AND dispatched_at < agentfleet_now() - %(s)s * interval '1 s'"
        )
        await self.stage.holds(late, "the message counts as lost", s=REPUBLISH_AFTER)
        self.others("dispatcher", "steps")
        self.arm()
        await self.broken()
        return DONE

    async def due(self) -> str:
        """A step waits for its next attempt; the reconciler promotes it."""
        step = self.case.step
        if step in TOOL:
            self.stage.file(f"retry-{TOOL[step]}").touch()
        else:
            self.fault("server_error", turn=REASONS[step] - 1)
        self.others("steps", "dispatcher")
        self.run = await self.stage.submit()
        due = "SELECT FROM steps WHERE state = 'waiting' AND not_before < agentfleet_now()"
        await self.stage.holds(due, "a step is due")
        self.arm()
        await self.broken()
        return DONE

    async def deadline(self) -> str:
        """A run's deadline passes while a tool is called; the reconciler ends it."""
        tool = TOOL[self.case.step]
        self.stage.file(f"hold-{tool}").touch()
        self.others("steps", "dispatcher")
        self.run = await self.stage.submit(deadline=1.0)
        await until(lambda: self.stage.calls(tool, self.run), f"{tool} is called")
        await self.stage.holds("SELECT FROM runs WHERE deadline_at < agentfleet_now()", "the deadline has passed")
        self.arm()
        await self.broken()
        return "expired"

    async def idle(self) -> str:
        """A run, and a reconciler that looks around."""
        self.others("steps", "dispatcher")
        self.run = await self.stage.submit()
        self.arm()
        await self.broken()
        return DONE

    async def poison(self) -> str:
        """A message that is no step of ours lies on the queue."""
        await self.stage.redis.lpush(self.stage.queue, b"\xff\x00 no text")  # pyright: ignore[reportGeneralTypeIssues]
        self.others("dispatcher", "reconciler")
        self.arm()
        await self.broken()
        self.run = await self.stage.submit()
        return DONE

    async def drain(self) -> str:
        """A worker that is told to stop has a pop under way, which brings a message: if it comes within a second."""
        self.run = await self.stage.submit()
        worker = await self._stopping_with_a_message()
        while not said(worker, "failpoint"):
            worker = await self._stopping_with_a_message()
        await self.broken()
        self.others("dispatcher", "reconciler")
        self.stage.start("steps")
        return DONE

    # Their parts

    async def _stopping_with_a_message(self) -> Process:
        """An armed worker that has broken, or has ended before the message came."""
        message = await self.stage.redis.rpop(self.stage.queue)  # pyright: ignore[reportGeneralTypeIssues]
        worker = await self.arm(log_level="debug").ready()
        worker.send(signal.SIGTERM)
        await until(lambda: any("Stopping Grave" in line for line in worker.printed), "the worker claims no more")
        await self.stage.redis.lpush(self.stage.queue, message)  # pyright: ignore[reportGeneralTypeIssues]
        await until(lambda: worker.code is not None or said(worker, "failpoint"), "it has ended, or broken")
        return worker

    def fault(self, name: str, *, turn: int) -> None:
        """Arm a fault of the provider for this case's next run."""
        mark = f"Go {self.stage.name}-{len(self.stage.runs)}."
        board = self.stage.ground.simulator.simulator.faults
        board.arm(Order(fault=name, times=1, match=Match(contains=mark, turn=turn)))

    async def promise(self) -> str:
        """What must become of the run whose worker has broken here: only an unsafe tool may need a human."""
        case, point = self.case, self.case.route.point
        if case.action in ("kill", "pause"):
            return REVIEW if await self.stage.cut_off() else DONE
        # A claim that was committed and whose answer was lost, or that was asked for twice, is nobody's: its lease ends.
        unclaimed = point == "claim_steps" and (case.action == "dup" or case.moment == "after")
        raised = point == "tool" and case.action == "raise"
        return REVIEW if case.step == UNSAFE and (unclaimed or raised) else DONE


def broke(process: Process, point: str, action: str) -> bool:
    """Whether its failpoint has fired."""
    return any((line["point"], line["action"]) == (point, action) for line in said(process, "failpoint"))


def stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # not a file that a path is about
        return file.read().rpartition(")")[2].split()[0] == "T"
