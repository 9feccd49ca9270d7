"""Runs are in the archive as a whole before they are deleted, whatever the store does."""

import gzip
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from agentfleet.archive import make_archive
from agentfleet.archive.s3 import Place
from agentfleet.domain.alerts import AlertKind
from agentfleet.domain.errors import ArchiveFailed, InvalidInput
from agentfleet.domain.retention import Keep, to_forget
from agentfleet.engine.archive import Archivist, may_hold, pack, unpack
from agentfleet.engine.prune import RunPruner
from agentfleet.store import alerts, retention
from agentfleet.store.archive import export
from tests.factories import execute, tally
from tests.retention.conftest import DAY, archived, ended
from tests.retention.stores import Store

KEEP = Keep(runs=30 * DAY)


def pruner(db, archive, keep: Keep = KEEP) -> RunPruner:
    return RunPruner(db, keep, Archivist(db, archive))


def left(database_url: str) -> set[str]:
    return {one for (one,) in execute(database_url, "SELECT id::text FROM runs")}


async def open_alerts(db) -> list[str]:
    return [alert.subject for alert in await alerts.open_of(db, AlertKind.ARCHIVE_FAILING)]


async def test_a_run_is_archived_row_for_row_and_byte_for_byte(db, archive, database_url) -> None:
    output = '{"b": 1,  "a": "\\n\\u2028é", "c": 1.10}'
    run_id = await ended(db, 31, output=output)
    before = await tally(db, run_id)
    assert await pruner(db, archive).run_once() == 1
    assert left(database_url) == set()
    document = (await archived(archive))[run_id]
    assert document["run"]["output"] == output
    assert {name: len(rows) for name, rows in document.items() if name != "run"} == {
        "steps": 2, "attempts": 2, "messages": 1, "events": 2, "dead_letters": 0, "request_keys": 1, "budgets": 0,
        "batch_items": 0,
    }  # fmt: skip
    for table, rows in (("steps", before.steps), ("messages", before.messages), ("events", before.events)):
        assert [set(row) for row in document[table]] == [set(row._fields) for row in rows]
    [(place,)] = execute(database_url, "SELECT archived_to FROM run_tombstones")
    body = await archive.get(archive.place.key(place))
    exact = json.loads(gzip.decompress(body).splitlines()[1], parse_float=Decimal)
    assert [str(row["cost_usd"]) for row in exact["attempts"]] == ["0.00012300"] * 2
    head = json.loads(gzip.decompress(body).splitlines()[0])
    assert (head["schema"], head["tenant_id"], head["runs"]) == ("agentfleet.runs/1", "acme", 1)
    assert json.loads(head["bundles"]["bundle-1"]["spec"])["instructions"] == "Test."


async def test_each_row_can_be_made_again_from_the_archive(db, archive, database_url) -> None:
    """The recipe of the guide: Postgres reads its own JSON."""
    run_id = await ended(db, 31)
    query = "SELECT s.*::text FROM (SELECT * FROM {} ORDER BY 1, 2) s"
    tables = {"runs": "run", "steps": "steps", "attempts": "attempts", "messages": "messages", "run_events": "events"}
    before = {name: execute(database_url, query.format(name)) for name in tables}
    await pruner(db, archive).run_once()
    document = (await archived(archive))[run_id]
    [key] = await archive.keys("")
    [(_, line)] = unpack(key, await archive.get(key))
    assert json.loads(line) == document
    for name, part in tables.items():
        source = f"SELECT %s::json -> '{part}' AS rows"
        rows = "json_build_array(rows)" if part == "run" else "rows"
        made = f"INSERT INTO {name} SELECT r.* FROM ({source}) d, json_populate_recordset(NULL::{name}, {rows}) r"  # noqa: S608
        execute(database_url, made, line.decode())
    assert {name: execute(database_url, query.format(name)) for name in tables} == before


async def test_an_object_holds_one_tenants_runs_of_one_day_and_its_name_finds_them(db, archive) -> None:
    made = {name: [await ended(db, 40, tenant=name) for _ in range(2)] for name in ("acme", "a/../b")}
    while await pruner(db, archive).run_once():
        pass
    keys = await archive.keys("")
    assert len(keys) == 2
    assert {key.split("/")[0] for key in keys} == {"acme", "a%2F..%2Fb"}
    for tenant, runs in made.items():
        for run_id in runs:
            [key] = [key for key in keys if may_hold(key, run_id)]
            assert run_id in {document["run"]["id"] for document, _ in unpack(key, await archive.get(key))}, tenant


async def test_details_are_archived_once_and_the_tombstone_knows_where(db, archive, database_url) -> None:
    run_id = await ended(db, 31)
    keep = Keep(runs=60 * DAY, details=7 * DAY)
    assert await pruner(db, archive, keep).run_once() == 1
    [(place,)] = execute(database_url, "SELECT archived_to FROM runs")
    assert await pruner(db, archive).run_once() == 1
    assert execute(database_url, "SELECT archived_to FROM run_tombstones") == [(place,)]
    assert len((await archived(archive))[run_id]["steps"]) == 2
    assert len(await archive.keys("")) == 1


async def test_the_same_runs_make_the_same_object_and_others_another_one(db) -> None:
    ids = sorted([await ended(db, 40) for _ in range(3)])
    found = await export(db, ids)
    day, bundles = date(2026, 1, 2), {"b": {"agent": "a", "spec": "{}"}}
    whole = pack("acme", day, found, bundles)
    assert pack("acme", day, await export(db, ids), bundles) == whole
    assert pack("acme", day, [found[0], found[2]], bundles).key != whole.key  # its first and last are the same


async def test_a_store_that_does_not_store_deletes_nothing_and_tells_a_human(db, database_url, monkeypatch) -> None:
    monkeypatch.setattr("agentfleet.archive.s3.READ_TIMEOUT", 0.5)
    monkeypatch.setattr("agentfleet.archive.s3.TRIES", 1)
    run_id = await ended(db, 40)
    with Store("refuses") as store:
        archive = make_archive("s3://runs", endpoint_url=store.url, region="us-east-1", path_style=True)
        for store.mood in ("refuses", "is full", "has no such bucket", "denies", "loses half", "resets", "hangs"):
            assert await pruner(db, archive).run_once() == 0, store.mood
            assert left(database_url) == {run_id}, store.mood
            assert await open_alerts(db) == ["s3://runs"], store.mood
            assert await alerts.resolve(db, AlertKind.ARCHIVE_FAILING, "s3://runs")
            with pytest.raises(ArchiveFailed):
                await archive.check()


async def test_what_could_not_be_archived_goes_on_by_itself(db, bucket, archive) -> None:
    run_id = await ended(db, 40)
    away = make_archive(f"s3://{bucket}/of/ours", endpoint_url="http://127.0.0.1:9", region="x", path_style=True)
    assert await pruner(db, away).run_once() == 0
    assert await open_alerts(db) == [archive.name]
    assert await pruner(db, archive).run_once() == 1  # another process: it knows nothing of the alert
    assert await open_alerts(db) == []
    assert run_id in await archived(archive)


async def test_runs_that_were_archived_before_go_and_leave_the_alert_of_an_archive_that_is_away(db, archive) -> None:
    await ended(db, 40)
    keep = Keep(runs=60 * DAY, details=7 * DAY)
    assert await pruner(db, archive, keep).run_once() == 1
    await alerts.raise_alert(db, AlertKind.ARCHIVE_FAILING, archive.name, "It is away.", {})
    assert await pruner(db, archive).run_once() == 1
    assert await open_alerts(db) == [archive.name]


async def test_without_credentials_nothing_is_deleted(db, s3_url, bucket, database_url, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    archive = make_archive(f"s3://{bucket}", endpoint_url=s3_url, region="us-east-1", path_style=True)
    run_id = await ended(db, 40)
    assert await pruner(db, archive).run_once() == 0
    assert left(database_url) == {run_id}


async def test_an_object_that_is_not_what_was_stored_is_not_read(db, archive) -> None:
    await ended(db, 40)
    await pruner(db, archive).run_once()
    [key] = await archive.keys("")
    body = await archive.get(key)
    for bad in (body[:-20], gzip.compress(gzip.decompress(body).replace(b"Done", b"Dine"))):
        with pytest.raises(ArchiveFailed):
            list(unpack(key, bad))


async def test_encryption_is_asked_for(archive) -> None:
    how = make_archive("s3://x", encryption="aws:kms:key-1").encryption
    await replace(archive, encryption=how).put("x", b"body")
    head = archive.connect().head_object(Bucket=archive.place.bucket, Key="of/ours/x")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")
    assert make_archive("s3://x", encryption="AES256").encryption == {"ServerSideEncryption": "AES256"}


@pytest.mark.parametrize("url", ["runs", "https://runs", "s3://", "s3://runs?x=1"])
def test_a_place_that_is_none_is_refused(url) -> None:
    with pytest.raises(InvalidInput, match="AGENTFLEET_ARCHIVE"):
        Place.parse("AGENTFLEET_ARCHIVE", url)


async def test_an_endpoint_that_cannot_be_one_is_told_as_a_failing_archive() -> None:
    with pytest.raises(ArchiveFailed, match="Invalid endpoint"):
        await make_archive("s3://runs", endpoint_url="http://-", region="x").check()


async def test_only_what_the_archive_has_is_deleted(db, archive, database_url) -> None:
    """A run that changes between export and delete stays, and is archived anew."""
    run_id = await ended(db, 40)
    [found] = await retention.due(db, to_forget("acme", KEEP), whole=True, limit=10)
    [stored] = await Archivist(db, archive)([found])
    execute(database_url, 'UPDATE runs SET version = version + 1, metadata = \'{"late": "word"}\'')
    assert await retention.forget(db, [stored]) == 0
    assert await pruner(db, archive).run_once() == 1
    [(place,)] = execute(database_url, "SELECT archived_to FROM run_tombstones WHERE id = %s", run_id)
    key = archive.place.key(place)
    assert "late" in next(unpack(key, await archive.get(key)))[0]["run"]["metadata"]
