"""Cut off in a commit, at any instant: it is read again by its key, and nothing is lost, settled twice or accepted twice."""

import asyncio
import signal
from random import Random

import pytest

from agentfleet.engine import settle as settle_module
from agentfleet.engine.settle import Settler
from agentfleet.engine.submit import Submitter
from agentfleet.store.database import LOST_CONNECTION
from tests import invariants
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.figures import Figures
from tests.factories import TENANT, execute, make_tool, new_run, save_bundle
from tests.integration.engine.outcomes import held, returned
from tests.scripted import Bells

pytestmark = pytest.mark.timeout(900)  # the nightly sizes take their time


def dice() -> Random:
    return Random(8)  # a repeatable disorder, not a secret


async def test_cold_shutdowns_at_random_instants_double_nothing(fleet: Fleet, figures: Figures, many) -> None:
    """SIGQUIT hands everything back at once: it falls into claims, model calls, tools and commits."""
    kills, runs_each = many(5, 250), 6
    chance, runs = dice(), list[str]()
    workers = [await fleet.worker(), await fleet.worker()]
    for kill in range(kills):
        runs += await fleet.submit(agents.notes, runs_each)
        enough = min(fleet.settlements() + chance.randint(1, 4 * runs_each), 4 * len(runs))
        await until(lambda enough=enough: fleet.settlements() >= enough, "steps settle")
        with figures.timed():
            workers[kill % 2].send(signal.SIGQUIT)
            workers.append(fleet.start())
            await workers[kill % 2].wait()
        workers[kill % 2] = await workers.pop().ready()
    await fleet.finished(runs)
    keys = [key for _, key, _, _ in fleet.calls("note_a")]
    assert len(set(keys)) == len(runs), "an effect has one key, however often it is tried"
    figures.note("F8", n=kills, violations=0)


async def test_settles_that_are_cut_at_any_instant_happen_once(
    db, far_db, database_url, proxy, monkeypatch, figures: Figures, many
) -> None:
    monkeypatch.setattr(settle_module, "RECONNECT_DELAY", 0)
    rounds, chance, settler = many(30, 1_000), dice(), Settler(far_db, Bells(), window=10_000)
    await save_bundle(db)
    for _ in range(rounds):
        tools = [await make_tool(db) for _ in range(3)]
        cut = asyncio.get_running_loop().call_later(chance.uniform(0, 0.008), proxy.cut)
        with figures.timed():
            assert await asyncio.gather(*(settler(returned(held(tool)), "w:1") for tool in tools)) == [True] * 3
        cut.cancel()
    assert execute(database_url, "SELECT count(*), count(DISTINCT step_id) FROM attempts") == [(3 * rounds,) * 2]
    invariants.check(database_url)
    assert proxy.cuts > rounds / 4
    figures.note("F8", n=rounds, violations=0, cuts=proxy.cuts)


async def test_submits_that_are_cut_at_any_instant_are_accepted_once(
    db, far_db, database_url, proxy, figures: Figures, many
) -> None:
    rounds, chance, submit = many(30, 1_000), dice(), Submitter(far_db, Bells(), window=10_000)
    await save_bundle(db)

    async def insist(key: str) -> str:
        """As a client does: again, with the same key, until there is an answer."""
        while True:
            try:
                return (await submit(TENANT, new_run(key=key, fingerprint=key.encode()))).run_id
            except LOST_CONNECTION:
                continue

    for n in range(rounds):
        cut = asyncio.get_running_loop().call_later(chance.uniform(0, 0.008), proxy.cut)
        accepted = await asyncio.gather(*(insist(f"{n}-{one}") for one in range(3)))
        cut.cancel()
        assert await asyncio.gather(*(insist(f"{n}-{one}") for one in range(3))) == accepted
    assert execute(database_url, "SELECT count(*) FROM runs") == [(3 * rounds,)]
    figures.note("F8", n=rounds, violations=0, cuts=proxy.cuts)
