"""The immutable thing that a run is pinned to: the hash of all that decides what its agent does."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentfleet.agents.agent import Agent
from agentfleet.domain.model import Bundle


@lru_cache(maxsize=1_024)  # a deployment has far fewer agents; building the schemas takes milliseconds
def bundle_of(agent: Agent) -> Bundle:
    """The bundle of ``agent`` as it is now. The same agent gives the same id in every process."""
    spec = agent.spec()
    return Bundle(bundle_id(spec), agent.name, spec)


def bundle_id(spec: Mapping[str, Any]) -> str:
    """``b_`` and 32 hex digits of the SHA-256 of the canonical JSON text."""
    return "b_" + hashlib.sha256(canonical(spec).encode()).hexdigest()[:32]


def canonical(spec: Mapping[str, Any]) -> str:
    """One JSON text per value: sorted keys, no spaces."""
    return json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
