"""Break each guard of the engine on purpose and see the tests that name it go red: ``python -m scripts.mutate``.

One mutation at a time, in a temporary copy of the tree, against one embedded Postgres. Prints a table; exits with 1
when a mutation survives its tests, with 2 when a mutation no longer fits the code or its tests are red without it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agentfleet.dev.embedded import servers

ROOT = Path(__file__).parent.parent
COPIED = ("agentfleet", "migrations", "tests", "workers", "pyproject.toml")
SQL = "agentfleet/store/sql"
TESTS = "tests/integration"
PASSED, FAILED = 0, 1  # pytest's exit codes; any other means that it could not run the tests


@dataclass(frozen=True, slots=True)
class Mutation:
    """Every ``old`` in ``file`` becomes ``new``; ``tests`` must notice."""

    guard: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation(
        "settle asks for the fence", f"{SQL}/settle_steps.sql", " AND s.fence = d.fence", "", "engine/test_fence.py"
    ),
    Mutation(
        "settle asks for a running step",
        f"{SQL}/settle_steps.sql",
        "s.state = ANY(%(settleable)s) AND ",
        "",
        "engine/test_fence.py",
    ),
    Mutation(
        "settle locks its runs",
        f"{SQL}/settle_steps.sql",
        " ORDER BY r.id FOR NO KEY UPDATE",
        "",
        "engine/test_join.py",
    ),
    Mutation(
        "a rescue asks whether the lease is over",
        f"{SQL}/settle_steps.sql",
        "NOT d.expired_only OR s.lease_until < agentfleet_now()",
        "true",
        "engine/test_rescue.py",
    ),
    Mutation(
        "a rescue never repeats an unsafe tool",
        "agentfleet/engine/rescue.py",
        'if one.effect == "unsafe":',
        "if False:",
        "engine/test_rescue.py",
    ),
    Mutation(
        "a claim asks for a dispatched step",
        f"{SQL}/claim_steps.sql",
        " AND state = ANY(%(claimable)s)",
        "",
        "engine/test_claim.py",
    ),
    Mutation(
        "a claim raises the fence",
        f"{SQL}/claim_steps.sql",
        "fence = s.fence + 1",
        "fence = s.fence",
        "engine/test_fence.py",
    ),
    Mutation(
        "a heartbeat asks for the fence",
        f"{SQL}/renew_leases.sql",
        " AND s.fence = m.fence",
        "",
        "engine/test_fence.py",
    ),
    Mutation(
        "the lease is checked before a side effect",
        "agentfleet/engine/perform.py",
        "        still_ours()\n",
        "",
        "engine/test_heartbeat.py",
    ),
    Mutation(
        "a request key is taken once",
        f"{SQL}/submit_runs.sql",
        "WHERE key IS NULL OR run_id IN (SELECT run_id FROM keyed)",
        "",
        "engine/test_request_keys.py",
    ),
    Mutation(
        "an unknown commit is read again",
        "agentfleet/engine/settle.py",
        "written.settled |= await self._insist(store.read_settled, doubtful)",
        "pass",
        "engine/test_ambiguous_commit.py",
    ),
    Mutation(
        "what was not committed is written again",
        "agentfleet/engine/settle.py",
        "                await asyncio.sleep(RECONNECT_DELAY)\n\n    async def _free",
        "                return store.Written()\n\n    async def _free",
        "engine/test_ambiguous_commit.py",
    ),
    Mutation(
        "nothing is claimed that could not be recorded",
        "agentfleet/engine/execute.py",
        "await self._settler.writable()",
        "pass",
        "engine/test_unwritable.py",
    ),
    Mutation(
        "an outage counts as no crash",
        "agentfleet/engine/rescue.py",
        "if self._patient():",
        "if False:",
        "engine/test_rescue.py",
    ),
    Mutation(
        "who dies beside a poison step is not buried",
        "agentfleet/domain/retry.py",
        "(blamed and crashes >= limit)",
        "crashes >= limit",
        "engine/test_rescue.py",
    ),
    Mutation(
        "a row that somebody holds is not lost",
        "agentfleet/engine/heartbeat.py",
        "if step_id not in kept:",
        "if not kept.get(step_id):",
        "engine/test_heartbeat.py",
    ),
    Mutation(
        "a silent leader loses the lead",
        "agentfleet/store/leadership.py",
        "'idle_session_timeout'",
        "'application_name'",
        "store/test_leadership.py",
    ),
    Mutation("a cancel waits for a settle", f"{SQL}/lock_runs.sql", " FOR NO KEY UPDATE", "", "engine/test_cancel.py"),
    Mutation(
        "lost messages are sent again",
        "agentfleet/engine/republish.py",
        "await self._publisher.publish(lost)",
        "pass",
        "engine/test_republish.py",
    ),
    Mutation(
        "tenants take turns",
        f"{SQL}/dispatch_steps.sql",
        "ORDER BY c.turn, c.priority DESC",
        "ORDER BY c.priority DESC, c.id",
        "engine/test_dispatch.py",
    ),
    Mutation(
        "a tenant sees its own rows only",
        "migrations/versions/0001_pre_create_core.py",
        "TO agentfleet_app USING ({owns})",
        "TO agentfleet_app USING (true)",
        "store/test_tenants.py",
    ),
)


def run_tests(tree: Path, database_url: str, redis_url: str, files: list[str]) -> tuple[int, str]:
    """Pytest's exit code for ``files`` in ``tree``, and the first test that failed."""
    given = {"AGENTFLEET_TEST_DATABASE_URL": database_url, "AGENTFLEET_TEST_REDIS_URL": redis_url}
    done = subprocess.run(  # noqa: S603  # this interpreter, on our own tests
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *(f"{TESTS}/{file}" for file in files)],
        cwd=tree,
        env={**os.environ, **given},  # noqa: TID251  # as the caller's, plus where the tests' servers are
        capture_output=True,
        check=False,
    )
    if done.returncode not in {PASSED, FAILED}:
        print(done.stdout.decode()[-4000:], done.stderr.decode()[-4000:])
    killer = re.search(r"^(?:FAILED|ERROR) \S+?::(\S+)", done.stdout.decode(), re.MULTILINE)
    return done.returncode, killer[1] if killer else ""


def verdict(mutation: Mutation, tree: Path, database_url: str, redis_url: str) -> tuple[str, str]:
    """``killed``, ``SURVIVED`` or ``BROKEN``, and the test that noticed. The mutation is undone afterwards."""
    path = tree / mutation.file
    original = path.read_text("utf-8")
    if mutation.old not in original:
        return "BROKEN", f"{mutation.old!r} is not in {mutation.file}"
    path.write_text(original.replace(mutation.old, mutation.new), "utf-8")
    try:
        code, killer = run_tests(tree, database_url, redis_url, [mutation.tests])
    finally:
        path.write_text(original, "utf-8")
    return {FAILED: "killed", PASSED: "SURVIVED"}.get(code, "BROKEN"), killer


def main() -> int:
    """Run every mutation; the exit code."""
    width = max(len(mutation.guard) for mutation in MUTATIONS)
    verdicts: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="agentfleet-mutate-") as name,
        servers(Path(name) / "data", ephemeral=True) as urls,
    ):
        tree = Path(name) / "tree"
        tree.mkdir()
        for entry in COPIED:
            source = ROOT / entry
            if source.is_dir():
                shutil.copytree(source, tree / entry, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree)
        files = sorted({mutation.tests for mutation in MUTATIONS})
        code, red = run_tests(tree, urls.database_url, urls.redis_url, files)
        if code != PASSED:
            print(f"The tests are red without any mutation: {red}")
            return 2
        for mutation in MUTATIONS:
            word, killer = verdict(mutation, tree, urls.database_url, urls.redis_url)
            verdicts.append(word)
            print(f"{mutation.guard:<{width}}  {word:<8}  {killer}", flush=True)
    print(f"{verdicts.count('killed')} of {len(verdicts)} killed")
    return 2 if "BROKEN" in verdicts else int("SURVIVED" in verdicts)


if __name__ == "__main__":
    sys.exit(main())
