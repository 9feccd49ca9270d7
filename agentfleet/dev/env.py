"""Where a running stack is, as told to people and programs: printed by `dev --print-env`, kept in `dev.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "dev.json"


@dataclass(frozen=True, slots=True)
class StackEnv:
    """Addresses and the key of a stack. `simulator_url` is `None` when the model provider is a real one."""

    api_url: str
    api_key: str
    database_url: str
    redis_url: str
    flower_url: str
    simulator_url: str | None = None
    agents: str = ""
    """Modules, comma-separated, as AGENTFLEET_AGENTS says them."""
    internal_token: str = ""
    """For `/internal/...` of the API."""

    def document(self, pids: Mapping[str, list[int]]) -> dict[str, Any]:
        """As JSON, with the process ids by kind."""
        return {**asdict(self), "pids": dict(pids)}

    def save(self, data_dir: Path) -> None:
        """Keep it for `agentfleet run` and for the next start, which goes on using the key. Only we may read it."""
        path = data_dir / FILE
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, data_dir: Path) -> "StackEnv | None":
        """What the last stack of this directory was; `None` when there was none."""
        try:
            return cls(**json.loads((data_dir / FILE).read_text()))
        except (FileNotFoundError, PermissionError, ValueError, TypeError):
            return None
