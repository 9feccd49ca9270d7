"""Prefer: wait=N holds the answer back until there is something to say."""

import asyncio

import pytest

from agentfleet.api import schemas
from tests.integration.api.waits import soon, until

LONG = {"Prefer": "wait=600"}
"""Longer than any test may take: a wait that is not ended by what it waits for fails."""


async def until_watched(app, run_id: str) -> None:
    """Return when somebody waits for the run."""
    await until(lambda: run_id in app.state.services.watch._watchers)


async def until_unwatched(app) -> None:
    await until(lambda: not app.state.services.watch._watchers)


async def test_a_waiting_reader_gets_the_end_of_the_run(client, submit, hands, app) -> None:
    run = await submit()
    waiting = [asyncio.create_task(client.get(run["urls"]["self"], headers=LONG)) for _ in range(3)]
    await until_watched(app, run["id"])
    await hands.finish(run["id"])
    for response in await soon(asyncio.gather(*waiting)):
        assert schemas.Run.model_validate(response.json()).status == "succeeded"
        assert response.headers["preference-applied"] == "wait=600"


async def test_steps_in_between_do_not_end_the_wait(client, submit, hands, app) -> None:
    run = await submit()
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers=LONG))
    await until_watched(app, run["id"])
    await hands.call_tool(run["id"])
    watcher = next(iter(app.state.services.watch._watchers[run["id"]]))
    await until(lambda: watcher.seen is not None and watcher.seen.version >= 3)
    assert not waiting.done()
    await client.post(run["urls"]["cancel"])
    assert (await soon(waiting)).json()["status"] == "cancelled"


async def test_a_run_that_needs_a_human_ends_the_wait(client, submit, hands, app) -> None:
    run = await submit()
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers=LONG))
    await until_watched(app, run["id"])
    await hands.bury(run["id"])
    assert (await soon(waiting)).json()["status"] == "needs_review"


async def test_a_submit_may_wait_for_the_whole_run(client, hands, app) -> None:
    post = client.post("/v1/runs", json={"agent": "support", "input": "x"}, headers=LONG)
    waiting = asyncio.create_task(post)
    await until(lambda: bool(app.state.services.watch._watchers))
    [run_id] = app.state.services.watch._watchers
    await hands.finish(run_id)
    response = await soon(waiting)
    assert response.status_code == 200
    assert schemas.Run.model_validate(response.json()).output == "Done."
    assert response.headers["location"] == f"/v1/runs/{run_id}"
    assert response.headers["etag"]


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_wait_that_was_too_short_answers_with_what_there_is(client, submit, seconds: int) -> None:
    headers = {"Prefer": f"wait={seconds}"}
    posted = await client.post("/v1/runs", json={"agent": "support", "input": "x"}, headers=headers)
    assert posted.status_code == 202
    assert schemas.Accepted.model_validate(posted.json()).status == "queued"
    found = await client.get(posted.json()["urls"]["self"], headers=headers)
    assert (found.status_code, found.json()["status"]) == (200, "queued")
    for response in (posted, found):
        assert response.headers["preference-applied"] == f"wait={seconds}"
        assert response.headers["retry-after"] == "1"


async def test_a_wait_is_cut_to_the_longest_that_is_allowed(client, submit, hands) -> None:
    run = await submit()
    await hands.finish(run["id"])
    found = await client.get(run["urls"]["self"], headers={"Prefer": "wait=86400"})
    assert found.headers["preference-applied"] == "wait=600"


async def test_a_waiting_reader_that_knows_the_version_gets_304(client, submit) -> None:
    run = await submit()
    found = await client.get(run["urls"]["self"], headers={"Prefer": "wait=1", "If-None-Match": '"1"'})
    assert (found.status_code, found.headers["preference-applied"]) == (304, "wait=1")


async def test_a_process_that_stops_sends_waiters_home(client, submit, app) -> None:
    run = await submit()
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers=LONG))
    await until_watched(app, run["id"])
    app.state.services.watch.stop()
    assert (await soon(waiting)).json()["status"] == "queued"


async def test_nobody_waits_for_a_client_that_hung_up(http, app, submit) -> None:
    run = await submit()
    waiting = asyncio.create_task(http.get(run["urls"]["self"], headers=LONG))
    await until_watched(app, run["id"])
    waiting.cancel()
    await until_unwatched(app)
    assert (await http.get(run["urls"]["self"])).json()["status"] == "queued"


async def test_nothing_is_asked_when_nobody_waits(client, submit, hands, app) -> None:
    run = await submit()
    watch = app.state.services.watch
    assert watch._poller is None
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers=LONG))
    await until_watched(app, run["id"])
    await hands.finish(run["id"])
    await soon(waiting)
    await until(lambda: watch._poller is None)
