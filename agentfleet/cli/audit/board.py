"""How far the audit is: a table that changes in place, or a line now and then where there is no terminal."""

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from agentfleet.domain.states import RunState
from agentfleet.store.witness import Tally

LINE_EVERY = 2.0
WINDOW = 3.0
"""Seconds over which steps/s are measured."""


class Board:
    """Shows the tallies of ``total`` runs on ``console``; ``begun`` is when the first was submitted (monotonic)."""

    def __init__(self, console: Console, total: int, begun: float) -> None:
        self._console, self._total, self._begun = console, total, begun
        self._settled: deque[tuple[float, int]] = deque([(begun, 0)])
        self._next_line = 0.0
        self._live = Live(console=console, refresh_per_second=5, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, tally: Tally, *, last: bool = False) -> None:
        """Show ``tally``; the ``last`` one in any case."""
        now = time.monotonic()
        self._settled.append((now, tally.settled))
        while now - self._settled[0][0] > WINDOW and len(self._settled) > 2:
            self._settled.popleft()
        if self._live is not None:
            self._live.update(self._table(tally))
        elif last or now >= self._next_line:
            self._next_line = now + LINE_EVERY
            self._console.print(self._line(tally, now), highlight=False)

    @property
    def rate(self) -> float:
        """Steps settled per second, lately."""
        (then, before), (now, after) = self._settled[0], self._settled[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _figures(self, tally: Tally) -> dict[str, str]:
        queued = tally.runs.get(RunState.QUEUED, 0)
        return {
            "queued": str(queued),
            "running": str(self._total - queued - tally.ended),
            "done": f"{tally.ended}/{self._total}",
            "steps": str(tally.settled),
            "steps/s": f"{self.rate:.0f}",
            "retries": str(tally.retries),
        }

    def _line(self, tally: Tally, now: float) -> str:
        figures = "  ".join(f"{name} {value}" for name, value in self._figures(tally).items())
        return f"{now - self._begun:5.1f} s  {figures}"

    def _table(self, tally: Tally) -> Table:
        table = Table(title="Dependency audit", title_justify="left")
        figures = self._figures(tally)
        for name in figures:
            table.add_column(name, justify="right", min_width=8)
        table.add_row(*figures.values())
        frame = Table.grid()
        frame.add_row(table)
        frame.add_row(ProgressBar(self._total, tally.ended, width=66))
        return frame
