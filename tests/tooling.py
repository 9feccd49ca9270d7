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
    """Where the program is. The test is skipped where it cannot be had, such as without a network."""
    found = _found(name)
    if isinstance(found, Path):
        return found
    if REQUIRED:
        raise found
    pytest.skip(f"{name}: {found}")
