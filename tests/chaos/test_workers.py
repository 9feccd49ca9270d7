"""Workers that are killed, that crash and that are stopped, at every stage of a step."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis

from agentfleet.agents.agent import Agent
from agentfleet.broker import names
from agentfleet.broker.envelope import envelope
from agentfleet.domain.model import Doorbell
from tests.acceptance.fleet import Fleet, Ground, Process, until
from tests.chaos import agents
from tests.chaos.figures import Figures, nightly, quantile

Many = Callable[[int, int], int]
LEASE = 2.0
SHORT = {"agents": "tests.chaos.agents", "lease": LEASE, "heartbeat": 0.4, "worker_capacity": 200}
pytestmark = pytest.mark.timeout(900 if nightly() else 120)
QUEUE = names.queue("agentfleet", "default")

HELD = "SELECT id::text, fence FROM steps WHERE state = 'running' AND kind = %s AND worker LIKE %s"
CLAIMED_AGAIN = (
    "SELECT extract(epoch FROM later.claimed_at)::float8 FROM attempts a"
    " JOIN attempts later ON later.step_id = a.step_id AND later.fence = a.fence + 1"
    " WHERE a.verdict = 'crashed' AND a.worker LIKE %s"
)
"""When each step that a dead worker held was claimed by another."""
ANSWERED = (
    "SELECT count(*) FROM attempts a JOIN steps s ON s.id = a.step_id WHERE s.kind = 'reason' AND a.outcome = 'succeed'"
)
BELLS = "SELECT id::text, run_id::text, pool, agent, kind, name, seq, attempt FROM steps WHERE run_id = %s"
UNSENT = (
    "SELECT id::text, extract(epoch FROM dispatched_at)::float8 FROM steps WHERE run_id = %s AND state = 'dispatched'"
)
SENT = "SELECT extract(epoch FROM dispatched_at)::float8 FROM attempts WHERE step_id = %s AND fence = 1"


def of(worker: Process) -> str:
    """The name of this process among workers, for LIKE."""
    return f"%:{worker.pid}"


@contextmanager
def slow_model(ground: Ground, milliseconds: float) -> Iterator[None]:
    """Every model call takes this long."""
    simulator = ground.simulator.simulator
    usual = simulator.config
    simulator.config = usual.model_copy(update={"first_token_ms": milliseconds})
    try:
        yield
    finally:
        simulator.config = usual


def model_calls(fleet: Fleet) -> int:
    """How many the simulator has got in this test."""
    return fleet.ground.simulator.simulator.log.total


def recoveries(fleet: Fleet, dead: Process) -> list[float]:
    """Seconds from a worker's death to the next claim of each step that it had."""
    return [claimed_at - dead.ended_at for (claimed_at,) in fleet.query(CLAIMED_AGAIN, of(dead))]


def calls(fleet: Fleet, tool: str, run_ids: list[str]) -> list[list[str]]:
    """The calls of a tool in these runs."""
    return [call for call in fleet.calls(tool) if call[0] in run_ids]


def in_tool(fleet: Fleet, tool: str, run_ids: list[str]) -> int:
    """How many of these runs have called it."""
    return len({run_id for run_id, *_ in calls(fleet, tool, run_ids)})


def note_recoveries(figures: Figures, row: str, n: int, times: list[float], **counts: float) -> None:
    for seconds in times:
        figures.took(seconds)
    figures.note(row, n=n, p99_over_lease_s=round(quantile(times, 0.99) - LEASE, 3), **counts)


async def test_killed_workers_lose_no_run(fleet: Fleet, figures: Figures, many: Many) -> None:
    """Two kills a round: what dies with three workers is poison, which is another row's matter."""
    rounds, each, kills = many(1, 10), many(60, 200), 2
    workers, dead = [fleet.start(**SHORT), fleet.start(**SHORT)], []
    for worker in workers:
        await worker.ready()
    needed, in_flight = 0, 0
    with slow_model(fleet.ground, 400):
        for _ in range(rounds):
            runs = await fleet.submit(agents.notes, each)
            for nth in range(1, kills + 1):
                enough = needed + 2 * each * nth // (kills + 2)
                await until(lambda enough=enough: fleet.query(ANSWERED)[0][0] >= enough, "model calls are answered")
                victim = workers.pop(0)
                await until(lambda victim=victim: fleet.query(HELD, "reason", of(victim)), "it calls the model")
                victim.kill()
                in_flight += len(fleet.query(HELD, "reason", of(victim)))
                dead.append(victim)
                workers.append(await fleet.worker(**SHORT))
            await fleet.finished(runs)
            needed += 2 * each
    assert fleet.query(ANSWERED) == [(needed,)]
    extra = model_calls(fleet) - needed
    assert in_flight > 0
    assert extra <= in_flight
    times = [seconds for worker in dead for seconds in recoveries(fleet, worker)]
    over = max(0, extra - in_flight)
    note_recoveries(
        figures, "F1", rounds * each, times, kills=len(dead), in_flight=in_flight, extra_calls=extra,
        extra_calls_over_in_flight=over, lost=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "tool", "code"),
    [
        (agents.segfaulter, "segfault_once", -signal.SIGSEGV),
        (agents.exhauster, "exhaust_once", -signal.SIGKILL),
    ],
)
async def test_a_segmentation_fault_costs_one_crash(
    fleet: Fleet, figures: Figures, many: Many, agent: Agent, tool: str, code: int
) -> None:
    worker, times, count = await fleet.worker(**SHORT), list[float](), many(1, 15)
    for _ in range(count):
        [run] = await fleet.submit(agent)
        assert await worker.wait() == code
        dead, worker = worker, await fleet.worker(**SHORT)
        await fleet.finished([run])
        times += recoveries(fleet, dead)
        crashes = "SELECT crashes, attempt, fence FROM steps WHERE run_id = %s AND name = %s"
        assert fleet.query(crashes, run, tool) == [(1, 1, 2)]
    assert len(times) == count
    note_recoveries(figures, "F2", count, times, lost=0)


async def test_an_idempotent_tool_has_one_effect_per_key(fleet: Fleet, figures: Figures, many: Many) -> None:
    """Half of them are killed before their effect, half after it."""
    count, each = many(10, 1_000), many(10, 100)
    for _ in range(0, count, each):
        first = await fleet.worker(**SHORT)
        runs = await fleet.submit(agents.booker, each)
        await until(lambda runs=runs: in_tool(fleet, "book", runs) == each, "all of them are booking")
        first.kill()
        second = await fleet.worker(**SHORT)
        fleet.open(f"open-{second.pid}")
        await fleet.finished(runs)
        keys = Counter(key for _, key, _, _ in calls(fleet, "book", runs))
        assert len(keys) == each, "the effect key is the same in both attempts"
        assert min(keys.values()) >= 2, "every one was killed in it"
        assert await second.end() == 0
    doubled = len(fleet.calls("order")) - count
    figures.note("F3", n=count, doubled=doubled, lost=0)
    assert doubled == 0


async def test_an_unsafe_tool_is_started_once(fleet: Fleet, figures: Figures, many: Many) -> None:
    count, each = many(10, 1_000), many(10, 100)
    submitted: list[str] = []
    for _ in range(0, count, each):
        worker = await fleet.worker(**SHORT)
        runs = await fleet.submit(agents.charger, each)
        submitted += runs
        await until(
            lambda runs=runs: in_tool(fleet, "charge", runs) + fleet.states(runs).count("needs_review") >= each,
            "all of them are charging",
        )
        worker.kill()
    fleet.open()
    await fleet.worker(**SHORT)
    await fleet.finished(submitted, "needs_review")
    await fleet.finished(await fleet.submit(agents.notes))
    second_attempts = len(fleet.calls("charge")) - in_tool(fleet, "charge", submitted)
    lost = count - fleet.states(submitted).count("needs_review")
    verdicts = fleet.query("SELECT DISTINCT verdict FROM dead_letters WHERE run_id = ANY(%s::uuid[])", submitted)
    assert verdicts == [("unknown_effect",)]
    figures.note("F4", n=count, second_attempts=second_attempts, lost=lost)
    assert (second_attempts, lost) == (0, 0)


@pytest.mark.parametrize("point", ["settle_steps.after:kill", "publish.before:kill"])
async def test_a_message_that_was_never_sent_is_sent(fleet: Fleet, figures: Figures, many: Many, point: str) -> None:
    count = many(1, 15)
    for _ in range(count):
        first = await fleet.worker(**SHORT, failpoint=point)
        [run] = await fleet.submit(agents.notes)
        assert await first.wait() == -signal.SIGKILL
        unsent = fleet.query(UNSENT, run)
        assert len(unsent) == 2, "the steps of both tools are committed"
        second = await fleet.worker(**SHORT)
        await fleet.finished([run])
        for step_id, committed_at in unsent:
            figures.took(fleet.query(SENT, step_id)[0][0] - committed_at)
        second.kill()
    assert len(fleet.calls("note_a")) == len(fleet.calls("note_b")) == count
    figures.note("F5", n=count, lost=0)


@pytest.mark.parametrize("transport", ["doorbell", "redis"])
async def test_a_message_that_comes_again_is_a_no_op(
    fleet: Fleet, figures: Figures, many: Many, transport: str
) -> None:
    """The model has been called, the next step is published and claimed, and the message is not acknowledged."""
    count = many(1, 15)
    submitted: list[str] = []
    async with Redis.from_url(fleet.ground.redis_url) as redis:
        for _ in range(count):
            first = await fleet.worker(**SHORT, transport=transport, failpoint="acknowledge.before:kill")
            [run] = await fleet.submit(agents.holder)
            submitted.append(run)
            assert await first.wait() == -signal.SIGKILL
            assert fleet.query("SELECT state FROM steps WHERE run_id = %s AND seq = 0", run) == [("succeeded",)]
            second = await fleet.worker(**SHORT, transport=transport)
            fleet.open(f"open-{second.pid}")
            await fleet.finished([run])
            bells = [Doorbell(*row) for row in fleet.query(BELLS, run)]
            await redis.lpush(QUEUE, *[envelope(bell, QUEUE) for bell in bells * 2])  # pyright: ignore[reportGeneralTypeIssues]
            await until(lambda: _emptied(redis), "all of it is taken")
            await second.end()
    await fleet.settled()
    extra = model_calls(fleet) - 2 * count
    figures.note("F6", n=count, extra_calls=extra)
    assert extra == 0
    assert fleet.query(ANSWERED) == [(2 * count,)]


async def _emptied(redis: Redis) -> bool:
    return await redis.llen(QUEUE) == 0  # pyright: ignore[reportGeneralTypeIssues]


async def rejected_once(fleet: Fleet, zombie: Process, held: list[tuple[str, int]]) -> dict[str, int]:
    """Wait until a worker that was continued has noticed, for every step it held; how often it did so for each."""

    def rejections() -> Counter[str]:
        lines = [*zombie.logs("lease_lost"), *zombie.logs("result_dropped")]
        return Counter(line["step_id"] for line in lines)

    await until(lambda: rejections().keys() >= {step_id for step_id, _ in held}, "it notices")
    return rejections()


def written_by(fleet: Fleet, held: list[tuple[str, int]]) -> int:
    """How many of these claims have ended otherwise than by their rescue."""
    ended = [
        fleet.query("SELECT verdict FROM attempts WHERE step_id = %s AND fence = %s", step_id, fence)
        for step_id, fence in held
    ]
    return sum(verdicts != [("crashed",)] for verdicts in ended)


async def test_a_stopped_worker_wakes_up_to_nothing(fleet: Fleet, figures: Figures, many: Many) -> None:
    count = many(10, 200)
    zombie = await fleet.worker(**SHORT)
    runs = await fleet.submit(agents.holder, count)
    await fleet.called("hold", count)
    held = fleet.query(HELD, "tool", of(zombie))
    zombie.send(signal.SIGSTOP)
    second = await fleet.worker(**SHORT)
    await fleet.called("hold", 2 * count)
    fleet.open(f"open-{zombie.pid}")
    zombie.send(signal.SIGCONT)  # its tools return at once, while the second worker runs the same steps
    rejections = await rejected_once(fleet, zombie, held)
    assert fleet.states(runs) == ["running"] * count
    fleet.open(f"open-{second.pid}")
    await fleet.finished(runs)
    unrejected = sum(rejections[step_id] != 1 for step_id, _ in held)
    late = written_by(fleet, held)
    figures.note("F40", n=count, unrejected=unrejected, late_writes=late)
    assert len(held) == count
    assert (late, unrejected) == (0, 0)
    await fleet.finished(await fleet.submit(agents.notes, 5))
    assert await zombie.end() == 0


async def test_a_worker_that_is_stopped_in_the_instant_of_its_commit_writes_nothing(
    fleet: Fleet, figures: Figures, many: Many
) -> None:
    count = many(1, 10)
    for _ in range(count):
        zombie = await fleet.worker(**SHORT, failpoint="settle_steps.before:pause")
        [run] = await fleet.submit(agents.chat)
        await until(lambda zombie=zombie: zombie.logs("failpoint"), "it has stopped itself")
        second = await fleet.worker(**SHORT)
        await fleet.finished([run])
        held = fleet.query(
            "SELECT id::text, 1 FROM steps WHERE run_id = %s", run
        )  # what it claimed first, and its fence
        zombie.send(signal.SIGCONT)
        rejections = await rejected_once(fleet, zombie, held)
        assert [rejections[step_id] for step_id, _ in held] == [1]
        assert len(zombie.logs("result_dropped")) == 1
        assert written_by(fleet, held) == 0
        assert await zombie.end() == 0
        await second.end()
    figures.note("F40", n=count, unrejected=0, late_writes=0)
