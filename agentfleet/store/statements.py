"""The hot statements: one ``.sql`` file each, loaded once. ``CLAIM_STEPS`` is ``sql/claim_steps.sql``.

A missing file fails at import; a test fails when a file is used by nobody.
"""

from importlib import resources
from typing import LiteralString, cast


def _load(name: str) -> LiteralString:
    return cast(LiteralString, resources.files("agentfleet.store").joinpath("sql", f"{name}.sql").read_text("utf-8"))


AUTHENTICATE = _load("authenticate")
BURY_MESSAGE = _load("bury_message")
CLAIM_STEPS = _load("claim_steps")
COUNT_STEPS = _load("count_steps")
DISPATCH_STEPS = _load("dispatch_steps")
END_RUNS = _load("end_runs")
EXPIRED_LEASES = _load("expired_leases")
FIND_BUNDLES = _load("find_bundles")
FIND_REQUEST_KEYS = _load("find_request_keys")
OVERDUE_RUNS = _load("overdue_runs")
PROMOTE_STEPS = _load("promote_steps")
READ_ACCEPTED = _load("read_accepted")
READ_SETTLED = _load("read_settled")
RECALL_STEPS = _load("recall_steps")
RENEW_LEASES = _load("renew_leases")
REPLAY_DEAD_LETTERS = _load("replay_dead_letters")
REPUBLISH_STEPS = _load("republish_steps")
SAVE_BUNDLE = _load("save_bundle")
SETTLE_STEPS = _load("settle_steps")
SUBMIT_RUNS = _load("submit_runs")
WATCH_RUNS = _load("watch_runs")
