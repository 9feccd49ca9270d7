"""What the stack's processes inherit: our environment, with an import path that finds `workers` and your modules."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import agentfleet
from agentfleet.dev.errors import StackFailed


def import_path() -> list[str]:
    """Where `workers` is, then where you are: put in front of what Python finds by itself.

    Raises:
        StackFailed: `workers` is in neither place. The wheel leaves it out: it is deployed, not imported.
    """
    checkout, here = Path(agentfleet.__file__).resolve().parents[1], Path.cwd()
    for root in (checkout, here):
        if (root / "workers" / "steps.py").is_file():
            return list(dict.fromkeys([str(root), str(here)]))
    raise StackFailed(
        "The processes of the fleet (directory workers/) are not here: an installed wheel brings the library alone.\n"
        "Run this in a checkout of agentfleet, or start the processes from its container image (compose.yaml)."
    )


def extend_import_path() -> None:
    """Let this process import what the stack's processes can."""
    sys.path[:0] = [entry for entry in import_path() if entry not in sys.path]


def child_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Our environment with `overrides`, for a process of the stack."""
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    search = dict.fromkeys([*import_path(), *inherited])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search), "PYTHONUNBUFFERED": "1", **overrides}
