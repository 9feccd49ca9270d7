"""Dead letters: a human reads, replays or discards them, and every decision is written down."""

import asyncio

from sqlalchemy import select

from agentfleet.api import schemas
from agentfleet.store.ids import new_id
from agentfleet.store.tables import audit
from tests.integration.api.answers import pointers, problem


async def dead(client, submit, hands) -> tuple[dict, dict]:
    """A run that needs review, and its dead letter."""
    run = await submit()
    await hands.bury(run["id"])
    letters = (await client.get("/v1/dead-letters?status=open")).json()["data"]
    return run, next(letter for letter in letters if letter["run_id"] == run["id"])


async def actions(db) -> list[tuple[str, str]]:
    async with db.reading() as connection:
        return [
            tuple(row) for row in await connection.execute(select(audit.c.action, audit.c.object).order_by(audit.c.id))
        ]


async def status(client, run: dict) -> str:
    return (await client.get(run["urls"]["self"])).json()["status"]


async def test_a_dead_letter_says_what_happened(client, submit, hands) -> None:
    run, letter = await dead(client, submit, hands)
    found = schemas.DeadLetterDetail.model_validate((await client.get(f"/v1/dead-letters/{letter['id']}")).json())
    listed = schemas.DeadLetter.model_validate(letter).model_dump(mode="json")
    assert found.model_dump(mode="json", include=set(listed)) == listed
    assert (found.run_id, found.agent, found.status, found.verdict) == (run["id"], "support", "open", "permanent")
    assert found.error["message"] == "no such model"
    assert (found.step.seq, found.step.kind) == (0, "reason")


async def test_replay_lets_the_run_go_on(client, submit, hands, db) -> None:
    run, letter = await dead(client, submit, hands)
    response = await client.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert schemas.DeadLetter.model_validate(response.json()).status == "replayed"
    assert await status(client, run) == "running"
    assert await actions(db) == [("dead_letter.replay", letter["id"])]
    await hands.finish(run["id"])
    assert await status(client, run) == "succeeded"


async def test_replaying_again_is_harmless(client, submit, hands, db) -> None:
    _, letter = await dead(client, submit, hands)
    answers = await asyncio.gather(*(client.post(f"/v1/dead-letters/{letter['id']}/replay") for _ in range(5)))
    answers.append(await client.post(f"/v1/dead-letters/{letter['id']}/replay"))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert problem(await client.post(f"/v1/dead-letters/{letter['id']}/discard"), 409) == "dead_letter_closed"


async def test_discard_fails_the_run_for_good(client, submit, hands, db) -> None:
    run, letter = await dead(client, submit, hands)
    for _ in range(2):
        response = await client.post(f"/v1/dead-letters/{letter['id']}/discard")
        assert schemas.DeadLetter.model_validate(response.json()).status == "discarded"
    assert await status(client, run) == "failed"
    assert await actions(db) == [("dead_letter.discard", letter["id"])]
    assert problem(await client.post(f"/v1/dead-letters/{letter['id']}/replay"), 409) == "dead_letter_closed"


async def test_a_cancelled_runs_dead_letter_is_closed(client, submit, hands) -> None:
    run, letter = await dead(client, submit, hands)
    assert (await client.post(run["urls"]["cancel"])).status_code == 202
    assert problem(await client.post(f"/v1/dead-letters/{letter['id']}/replay"), 409) == "dead_letter_closed"


async def test_many_are_replayed_at_once(client, submit, hands, db) -> None:
    letters = [(await dead(client, submit, hands))[1]["id"] for _ in range(3)]
    await client.post(f"/v1/dead-letters/{letters[0]}/discard")
    unknown = new_id()
    wanted = [letters[1], letters[0], unknown, letters[2].upper(), letters[1]]
    response = await client.post("/v1/dead-letters/replay", json={"ids": wanted})
    found = schemas.Replayed.model_validate(response.json())
    assert found.replayed == [letters[1], letters[2]]
    assert found.skipped == [letters[0], unknown]
    assert ("dead_letter.replay", letters[2]) in await actions(db)


FAULTY: list[tuple[dict, set[str]]] = [
    ({}, {"/ids"}),
    ({"ids": []}, {"/ids"}),
    ({"ids": "all"}, {"/ids"}),
    ({"ids": [new_id()] * 201}, {"/ids"}),
    ({"ids": [new_id(), "x", 7]}, {"/ids/1", "/ids/2"}),
    ({"ids": [new_id()], "all": True}, {"/all"}),
]


async def test_what_cannot_be_replayed_is_named(client) -> None:
    for body, places in FAULTY:
        response = await client.post("/v1/dead-letters/replay", json=body)
        assert problem(response, 422) == "invalid_request"
        assert pointers(response) == places


async def test_dead_letters_are_listed_by_state_page_by_page(client, submit, hands) -> None:
    letters = [(await dead(client, submit, hands))[1]["id"] for _ in range(3)]
    await client.post(f"/v1/dead-letters/{letters[1]}/replay")
    first = await client.get("/v1/dead-letters?limit=2")
    schemas.DeadLetterPage.model_validate(first.json())
    rest = await client.get(first.headers["link"].partition(">")[0][1:])
    assert [letter["id"] for letter in first.json()["data"] + rest.json()["data"]] == letters[::-1]
    replayed = await client.get("/v1/dead-letters?status=replayed")
    assert [letter["id"] for letter in replayed.json()["data"]] == [letters[1]]
    assert problem(await client.get("/v1/dead-letters?status=lost"), 422) == "invalid_request"
