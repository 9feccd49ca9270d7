"""`agentfleet dead-letters` and the client's methods, against a real API."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from agentfleet.cli.main import main
from agentfleet.client import ApiProblem, Client
from agentfleet.domain import settlement
from agentfleet.domain.errors import ProviderRejected
from agentfleet.domain.retry import RetryPolicy
from agentfleet.store import steps
from agentfleet.store.ids import new_id

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(served, key) -> Command:
    """Run a command of `agentfleet dead-letters` against the API."""

    async def invoke(*arguments: str) -> Result:
        asked = ["dead-letters", *arguments, "--url", served, "--api-key", key]
        return await asyncio.to_thread(CliRunner().invoke, main, asked)

    return invoke


@pytest.fixture
async def dead(submit, hands) -> list[str]:
    """Three runs whose tool calls died alike."""
    runs = [(await submit())["id"] for _ in range(3)]
    for number, run_id in enumerate(runs):
        await hands.call_tool(run_id)
        error = ProviderRejected(f"order [{number}] is closed")
        await hands.settle(settlement.failed(await hands.claim(run_id), error, RetryPolicy(), jitter=0.5))
    return runs


async def test_nothing_to_do_is_said_in_words(run) -> None:
    for arguments in (
        ("clusters",),
        ("list",),
        ("replay", "--verdict", "permanent"),
        ("replay", "--agent", "x", "--go"),
    ):
        result = await run(*arguments)
        assert (result.exit_code, result.output) == (0, "No dead letters.\n"), arguments


async def test_kinds_and_letters_are_shown_as_they_are(run, dead) -> None:
    kinds = await run("clusters")
    assert kinds.exit_code == 0
    [line] = kinds.output.splitlines()[1:]
    assert "order [2] is closed" in line, "brackets are no markup"
    assert "support: tool look" in line
    letters = await run("list", "--fingerprint", line.split()[0], "--limit", "2")
    assert [text.split()[2] for text in letters.output.splitlines()[1:]] == [dead[2], dead[1]]
    assert (await run("list", "--created-before", "2020-01-01")).output == "No dead letters.\n"


async def test_a_replay_in_bulk_is_shown_first_and_then_done(run, dead, client) -> None:
    shown = await run("replay", "--agent", "support")
    assert shown.exit_code == 0
    assert "3 dead letters of 3 runs: about $" in shown.output
    assert "Add --go" in shown.output
    assert len((await client.get("/v1/dead-letters?status=open")).json()["data"]) == 3
    done = await run("replay", "--agent", "support", "--go", "--model", "claude-opus-5-5")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "3 dead letters replayed.")
    assert (await run("list")).output == "No dead letters.\n"
    assert {(await client.get(f"/v1/runs/{one}")).json()["model"] for one in dead} == {"claude-opus-5-5"}


async def test_one_is_replayed_edited_skipped_or_discarded(run, dead, client) -> None:
    ids = {letter["run_id"]: letter["id"] for letter in (await client.get("/v1/dead-letters")).json()["data"]}
    first, second, third = (ids[one] for one in dead)
    shown = json.loads((await run("show", first)).output)
    assert (shown["run_id"], len(shown["attempts"]), len(shown["messages"])) == (dead[0], 1, 2)
    replayed = await run("replay", first, "--input", '{"place": "there"}')
    assert replayed.output == f"{first} is replayed: run {dead[0]} goes on.\n"
    skipped = await run("skip", second, "--result", "it is closed", "--error")
    assert skipped.output == f"{second} is skipped: run {dead[1]} goes on with the result.\n"
    discarded = await run("discard", third)
    assert discarded.output == f"{third} is discarded: run {dead[2]} has failed.\n"
    again = await run("discard", second)
    assert (again.exit_code, "dead_letter_closed" in again.output) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("replay", "x", "--agent", "y"),
        ("replay", "--agent", "y", "--message", "z"),
        ("replay", "x", "--dry-run"),
        ("skip", "x"),
        ("list", "--created-after", "soon"),
    ],
)
async def test_a_command_that_cannot_be_meant_says_how_to_use_it(run, arguments) -> None:
    result = await run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output


async def test_who_runs_the_fleet_sees_every_tenant_and_what_belongs_to_none(
    dead, db, database_url, redis_url, monkeypatch
) -> None:
    monkeypatch.setenv("AGENTFLEET_DATABASE_URL", database_url)

    async def invoke(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["dead-letters", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert await invoke("unreadable") == "No unreadable messages.\n"
    await steps.bury_message(db, new_id(), b"\x00not ours", "it is no JSON")
    told = await invoke("unreadable")
    assert "it is no JSON" in told
    assert "not ours" in told
    assert "support: tool look" in await invoke("clusters", "--all-tenants", "--verdict", "permanent")


async def test_the_client_speaks_of_dead_letters_in_values(served, key, dead) -> None:
    def ask() -> None:
        with Client(served, key) as client:
            [kind] = client.clusters(agent="support")
            assert (kind.count, kind.runs) == (3, 3)
            first, second, third = (client.dead_letter(letter.id) for letter in client.dead_letters())
            assert first.fingerprint == kind.fingerprint
            assert client.replay(first.id, input={"place": "there"}).resolution["edited"] == ["input"]
            assert client.skip(second.id, {"ok": True}).resolution["action"] == "skip"
            plan = client.plan_replay(created_before=third.created_at)
            assert (plan.count, plan.token, [*client.replay_all(plan)]) == (0, None, [])
            plan = client.plan_replay(fingerprint=kind.fingerprint)
            [done] = client.replay_all(plan)
            assert (done.replayed, done.remaining) == ([third.id], 0)
            with pytest.raises(ApiProblem, match="dead_letter_closed"):
                client.discard(third.id)

    await asyncio.to_thread(ask)
