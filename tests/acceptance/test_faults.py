"""Anything may die at any moment: every run succeeds, and no settled step runs again."""

import signal

from agentfleet.simulator.armed import Order
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until


async def test_a_worker_that_is_killed_in_mid_call_loses_nothing(fleet: Fleet) -> None:
    stalled = fleet.ground.simulator.simulator.faults.arm(Order(fault="stream_stall", times=1))
    first = await fleet.worker()
    calling = await fleet.submit(agents.chat)
    await until(lambda: stalled.spent, "a model call hangs")
    holding = await fleet.submit(agents.holder, 3)
    await fleet.called("hold", 3)
    first.kill()
    fleet.open()
    second = await fleet.worker()
    await fleet.finished([*calling, *holding])
    assert fleet.outcomes(holding, "hold") == [("hand_back", 0, str(first.pid)), ("succeed", 1, str(second.pid))] * 3


async def test_a_tool_that_kills_its_worker_is_called_again_by_another(fleet: Fleet) -> None:
    first = await fleet.worker()
    runs = await fleet.submit(agents.killer)
    await first.wait()
    await fleet.worker()
    await fleet.finished(runs)
    assert len({key for _, key, _, _ in fleet.calls("die")}) == 1, "the effect key is the same in both attempts"


async def test_a_zombie_worker_changes_nothing(fleet: Fleet) -> None:
    first = await fleet.worker()
    runs = await fleet.submit(agents.holder, 2)
    await fleet.called("hold", 2)
    first.send(signal.SIGSTOP)
    second = await fleet.worker()
    await fleet.called("hold", 4)
    fleet.open(f"open-{first.pid}")
    first.send(signal.SIGCONT)  # its tools return at once, while the second worker runs the same steps
    await until(lambda: first.logs("lease_lost") or first.logs("result_dropped"), "the zombie notices")
    assert fleet.states(runs) == ["running", "running"]
    fleet.open()
    await fleet.finished(runs)
    assert await first.end() == 0
    assert fleet.outcomes(runs, "hold") == [("hand_back", 0, str(first.pid)), ("succeed", 1, str(second.pid))] * 2


async def test_an_unsafe_tool_whose_worker_died_is_not_called_again(fleet: Fleet) -> None:
    first = await fleet.worker()
    runs = await fleet.submit(agents.charger)
    await fleet.called("charge")
    first.kill()
    await fleet.finished(runs, "needs_review")
    assert len(fleet.calls("charge")) == 1


async def test_messages_that_come_three_times_run_once(fleet: Fleet) -> None:
    workers = [fleet.start(sabotage="thrice"), fleet.start(sabotage="thrice")]
    for worker in workers:
        await worker.ready()
    runs = await fleet.submit(agents.notes, 20)
    await fleet.finished(runs)
    assert len(fleet.calls("note_a")) == len(fleet.calls("note_b")) == 20


async def test_a_worker_killed_between_commit_and_publish_loses_nothing(fleet: Fleet) -> None:
    first = await fleet.worker(sabotage="dying")
    runs = await fleet.submit(agents.notes)
    assert await first.wait() == -signal.SIGKILL
    assert fleet.query("SELECT name FROM steps WHERE state = 'dispatched'"), "the next steps are committed"
    await fleet.worker()
    await fleet.finished(runs)
    assert len(fleet.calls("note_a")) == len(fleet.calls("note_b")) == 1


async def test_connections_of_the_database_that_are_cut_lose_nothing(fleet: Fleet) -> None:
    workers = [fleet.start(), fleet.start()]
    for worker in workers:
        await worker.ready()
    runs = await fleet.submit(agents.notes, 80)
    for _ in range(4):
        settled = fleet.settlements()
        await until(lambda settled=settled: fleet.settlements() > settled + 20, "steps settle")
        fleet.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'agentfleet-worker'"
        )
    await fleet.finished(runs)
    assert all(worker.logs_at("warning") for worker in workers), "each has noticed"
