"""The audit from the first submit to the proof."""

import json
import os
import signal
import time
import uuid
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from rich.console import Console

from agentfleet.cli.audit.board import Board
from agentfleet.cli.audit.report import print_report
from agentfleet.cli.terminal import LOOK, Talker, tend
from agentfleet.client import Client, Run
from agentfleet.dev.stack import Stack
from agentfleet.domain.states import RunState
from agentfleet.store.database import FLEET_ROLE
from agentfleet.store.witness import Evidence, Tally, Witness

AGENT = "dependency-audit"
STEPS_PER_RUN = 8
"""Three turns of the model and five tools, when it does as it is told: what "half-way" is measured against."""
PATIENCE = 1_800.0
"""Seconds until the demo stops waiting and says what is missing. Claude's rate limits may slow it down."""


def installed() -> list[str]:
    """The names of all installed distributions."""
    names = {found.metadata["Name"] for found in distributions()}
    return sorted((name for name in names if name), key=str.lower)  # a broken installation has none


class Audit:
    """One audit of ``names`` on ``stack``."""

    def __init__(self, stack: Stack, talker: Talker, console: Console, names: Sequence[str]) -> None:
        self._stack, self._talker, self._console, self._names = stack, talker, console, names
        self._run_ids: list[str] = []
        self.kills = 0
        self.evidence: Evidence | None = None

    def run(self) -> None:
        """Submit everything, watch it to its end, and kill a worker on the way."""
        session, begun = uuid.uuid4().hex[:8], time.monotonic()
        with self._client() as client:
            for name in self._names:
                accepted = client.submit(AGENT, {"distribution": name}, key=f"demo-{session}-{name}")
                self._run_ids.append(accepted.id)
        self._talker.say(f"Submitted {len(self._names)} runs, one for each installed distribution.")
        role = FLEET_ROLE if self._stack.settings.set_role else None
        with Witness(self._stack.env.database_url, role) as witness:
            self._watch(witness, begun)
            self.evidence = witness.examine(self._run_ids)

    def report(self, file: Path | None) -> None:
        """Print what the audit found, and what the database says about how it went. All of the former into ``file``."""
        with self._client() as client:
            runs = [client.get(run_id) for run_id in self._run_ids]
        succeeded = [run for run in runs if run.status == RunState.SUCCEEDED]
        print_report(self._console, succeeded)
        if file is not None:
            file.write_text(json.dumps([run.output for run in succeeded], indent=1) + "\n")
            self._talker.say(f"  All of it: {file}")
        self._print_failures([run for run in runs if run.status != RunState.SUCCEEDED])
        found = self.evidence
        if found is not None:
            self._talker.say(
                "\nProof, from the database:\n"
                f"  {found.submitted} runs submitted, {found.succeeded} succeeded, {found.lost} lost\n"
                f"  {found.steps} steps settled, by {found.attempts} attempts: "
                f"{found.attempts - found.steps} were cut off or failed and were made again\n"
                f"  {found.settled_twice} steps settled twice, {found.unsettled} done without a settlement, "
                f"{found.gaps} runs with a gap in their steps, messages or events"
            )

    @property
    def flawless(self) -> bool:
        """Whether everything went as promised."""
        return self.evidence is not None and self.evidence.flawless and self.kills == 1

    def last_line(self) -> str:
        """The figures, for programs."""
        found = self.evidence
        assert found is not None, "the audit has run"  # noqa: S101 - the callers look first
        return (
            f"runs={found.submitted} succeeded={found.succeeded} lost={found.lost} "
            f"settled_twice={found.settled_twice} worker_kills={self.kills}"
        )

    def _client(self) -> Client:
        return Client(self._stack.env.api_url, self._stack.env.api_key)

    def _watch(self, witness: Witness, begun: float) -> None:
        deadline = time.monotonic() + PATIENCE
        with Board(self._console, len(self._run_ids), begun) as board:
            while time.monotonic() < deadline:
                tally = witness.tally(self._run_ids)
                over = self._over(tally)
                board.show(tally, last=over)
                if not self.kills and self._half_way(tally):
                    self._kill_a_worker(witness, tally)
                if over:
                    return
                tend(self._stack, self._talker)
                time.sleep(LOOK)

    def _over(self, tally: Tally) -> bool:
        return tally.ended + tally.runs.get(RunState.NEEDS_REVIEW, 0) == len(self._run_ids)

    def _half_way(self, tally: Tally) -> bool:
        total = len(self._run_ids)
        return tally.ended * 2 >= total or tally.settled * 2 >= total * STEPS_PER_RUN

    def _kill_a_worker(self, witness: Witness, tally: Tally) -> None:
        """SIGKILL the step worker that has most in flight: nothing is drained, nothing is handed back."""
        holding = {int(worker.rpartition(":")[2]): steps for worker, steps in witness.holders().items()}
        victim = max(self._stack.pids()["steps"], key=lambda pid: holding.get(pid, 0))
        os.kill(victim, signal.SIGKILL)
        self.kills += 1
        self._talker.say(
            f"Half-way, with {tally.settled} steps settled: killed step worker {victim} (SIGKILL), "
            f"which had {holding.get(victim, 0)} steps in flight."
        )

    def _print_failures(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._talker.say(f"{run.id} is {run.status}: {run.error}")
