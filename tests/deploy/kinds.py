"""What every way of deploying must know of: the kinds of processes, and their settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agentfleet.settings import Settings

ROOT = Path(__file__).parents[2]
KINDS = {f"workers.{file.stem}" for file in (ROOT / "workers").glob("*.py") if "__main__" in file.read_text()}
PREFIX = "AGENTFLEET_"


def settings_of(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a process makes of ``environment``; fails on variables of ours that are no settings."""
    ours = {name for name in environment if name.startswith(PREFIX)}
    unknown = {name for name in ours if name.removeprefix(PREFIX).lower() not in Settings.model_fields}
    assert not unknown
    for name in ours:
        monkeypatch.setenv(name, environment[name])
    return Settings()
