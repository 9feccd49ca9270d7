"""The history: what was asked for and what came of it, one JSON line per operation.

As in Jepsen (github.com/jepsen-io/jepsen, "history"), an operation is invoked and then ends as ``ok``, as ``fail`` (it
certainly did not happen) or as ``info`` (nobody knows). Times are seconds since 1970, on the one clock of this machine.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Type = Literal["invoke", "ok", "fail", "info"]


@dataclass(frozen=True, slots=True)
class Op:
    """One line."""

    process: str
    type: Type
    f: str
    value: Mapping[str, Any] = field(default_factory=dict[str, Any])
    time: float = field(default_factory=time.time)


class History:
    """Writes lines to a file; may be shared between threads and processes (a line is one write)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, process: str, type_: Type, f: str, **value: Any) -> Op:
        """Note one operation."""
        op = Op(process, type_, f, value)
        self.extend([op])
        return op

    def extend(self, ops: Iterable[Op]) -> None:
        """Note operations that were seen elsewhere."""
        with self._lock:
            for op in ops:
                self._file.write(f"{json.dumps(asdict(op), default=str)}\n")

    def close(self) -> None:
        """Nothing more is written from here."""
        with self._lock:
            self._file.close()


def read(*paths: Path) -> list[Op]:
    """All operations in these files, by time. The last line of a killed writer may be cut off: it is left out."""
    ops: list[Op] = []
    for path in paths:
        for line in path.read_text().split("\n")[:-1] if path.exists() else ():
            try:
                ops.append(Op(**json.loads(line)))
            except ValueError:
                continue
    return sorted(ops, key=lambda op: op.time)
