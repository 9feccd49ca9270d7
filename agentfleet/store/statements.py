"""The hot statements: one ``.sql`` file each, loaded once. ``CLAIM_STEPS`` is ``sql/claim_steps.sql``.

A missing file fails at import; a test fails when a file is used by nobody.
"""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import psycopg

from agentfleet import failpoints

_PARAMETER = re.compile(r"%\((\w+)\)s")


class Statement:
    """SQL with named parameters, turned into the server's numbered ones once instead of at every call.

    Running it is a failpoint of its ``name``.
    """

    __slots__ = ("failpoint", "names", "sql")

    def __init__(self, name: str, text: str) -> None:
        self.failpoint = failpoints.declare(name, lambda: psycopg.OperationalError(f"failpoint {name}"))
        self.names: list[str] = list(dict.fromkeys(_PARAMETER.findall(text)))
        numbers = {name: f"${number}" for number, name in enumerate(self.names, 1)}
        self.sql = _PARAMETER.sub(lambda match: numbers[match[1]], text).encode()

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        """``params`` in the statement's order; lists as array literals."""
        return [array(value) if type(value) is list else value for value in map(params.__getitem__, self.names)]  # pyright: ignore[reportUnknownArgumentType]  # a list of anything


def array(values: list[Any]) -> str:
    """A Postgres array literal; the statement casts it. Ten times cheaper than adapting element by element."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bool():
            return "t" if value else "f"
        case bytes():
            return '"\\\\x' + value.hex() + '"'
        case _:
            return str(value)


def _load(name: str) -> Statement:
    return Statement(name, resources.files("agentfleet.store").joinpath("sql", f"{name}.sql").read_text("utf-8"))


ADMIT_STEPS = _load("admit_steps")
ALARM_BUDGETS = _load("alarm_budgets")
AUTHENTICATE = _load("authenticate")
BURY_MESSAGE = _load("bury_message")
CAP_TENANT = _load("cap_tenant")
CHANGE_BUDGET = _load("change_budget")
CLAIM_STEPS = _load("claim_steps")
CLOSE_BATCH = _load("close_batch")
COUNT_STEPS = _load("count_steps")
DISPATCH_STEPS = _load("dispatch_steps")
DUE_RUNS = _load("due_runs")
END_RUNS = _load("end_runs")
EXPECT_WAITING = _load("expect_waiting")
EXPIRED_LEASES = _load("expired_leases")
EXPORT_RUNS = _load("export_runs")
FIND_BATCHES = _load("find_batches")
FIND_BUNDLES = _load("find_bundles")
FIND_KNOWN_BATCHES = _load("find_known_batches")
FIND_REQUEST_KEYS = _load("find_request_keys")
FIND_UNBATCHED = _load("find_unbatched")
FORGET_RUNS = _load("forget_runs")
LOCK_REVIEWS = _load("lock_reviews")
LOCK_RUNS = _load("lock_runs")
LOCK_TREES = _load("lock_trees")
MARK_ALERT = _load("mark_alert")
MARK_BATCH_ITEMS = _load("mark_batch_items")
NEXT_WAITING = _load("next_waiting")
OPEN_BATCH = _load("open_batch")
OPEN_DAY = _load("open_day")
OPEN_RUN_BUDGET = _load("open_run_budget")
OVERDUE_RUNS = _load("overdue_runs")
PROMOTE_STEPS = _load("promote_steps")
PRUNE_BATCHES = _load("prune_batches")
PRUNE_DEAD_LETTERS = _load("prune_dead_letters")
PRUNE_REQUEST_KEYS = _load("prune_request_keys")
PRUNE_TOMBSTONES = _load("prune_tombstones")
RAISE_ALERT = _load("raise_alert")
READ_ACCEPTED = _load("read_accepted")
READ_BATCH_ITEMS = _load("read_batch_items")
READ_DAY = _load("read_day")
READ_FREE = _load("read_free")
READ_LINEAGE = _load("read_lineage")
READ_SETTLED = _load("read_settled")
READ_WAITING = _load("read_waiting")
RECALL_STEPS = _load("recall_steps")
RECORD_BATCH = _load("record_batch")
RECORD_LOAD = _load("record_load")
RENEW_LEASES = _load("renew_leases")
REPLAY_DEAD_LETTERS = _load("replay_dead_letters")
REPUBLISH_STEPS = _load("republish_steps")
RESERVE_BUDGET = _load("reserve_budget")
RESOLVE_ALERT = _load("resolve_alert")
SAMPLE_STEPS = _load("sample_steps")
SAVE_BUNDLE = _load("save_bundle")
SETTLE_STEPS = _load("settle_steps")
STORE_BATCH_RESULTS = _load("store_batch_results")
STRIP_RUNS = _load("strip_runs")
SUBMIT_RUNS = _load("submit_runs")
SUM_USAGE = _load("sum_usage")
TAKE_ALERTS = _load("take_alerts")
WAITING_BUCKETS = _load("waiting_buckets")
WATCH_RUNS = _load("watch_runs")
