"""Programs that tests drive and that no wheel brings, see scripts/tools.py."""

import os
from functools import cache
from pathlib import Path

import pytest

from scripts.tools import ToolMissing, tool

REQUIRED = os.environ.get("AGENTFLEET_TOOLS") == "required"
"""Set by ``make helm-test``: a program that cannot be fetched is then a failure."""


@cache
def _found(name: str) -> Path | ToolMissing:
    try:
        return tool(name)
    except ToolMissing as error:
        return error


def program(name: str) -> Path:
    """Where the program is; fetched at the first use.

    Without a network it cannot be had, and the suite must pass on a laptop in a train: then, and only then, what needs
    it is skipped, and says so. Where every check has to be made AGENTFLEET_TOOLS=required makes that a failure.
    """
    found = _found(name)
    if isinstance(found, Path):
        return found
    if REQUIRED:
        raise found
    pytest.skip(f"{name}: {found}")
