"""Results of tools that are used again. Implements ``engine.ports.Toolbox`` around another one.

Only for tools that ask for it, and only where both their code and the run's bundle say that a call changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from agentfleet.agents.bundle import canonical
from agentfleet.agents.registry import Registry
from agentfleet.agents.tool import Tool
from agentfleet.caching.reuse import Reuse
from agentfleet.caching.shelf import Shelf, Wanted
from agentfleet.domain.keys import fingerprint
from agentfleet.domain.model import Bundle, Claimed
from agentfleet.domain.plan import Rules
from agentfleet.engine.ports import Toolbox, ToolResult


class CachedToolbox:
    """Calls ``inner`` for what is not on the ``shelf``. Another ``release`` is other code, with results of its own."""

    def __init__(self, inner: Toolbox, registry: Registry, shelf: Shelf, *, release: str) -> None:
        self._inner, self._registry, self._shelf, self._release = inner, registry, shelf, release

    def rules(self, bundle: Bundle) -> Rules:
        """Those of ``inner``."""
        return self._inner.rules(bundle)

    async def call(self, claimed: Claimed, call_id: str, arguments: Mapping[str, Any]) -> ToolResult:
        """What the model should see of this call; raises what ``inner`` raises."""
        tool = self._tool(claimed)
        if tool is None or tool.reuse is None or claimed.effect != "read":
            return await self._inner.call(claimed, call_id, arguments)
        wanted = self._wanted(tool, tool.reuse, claimed, arguments)
        async with self._shelf.look(wanted, patience=tool.timeout) as place:
            if place.value is not None:
                return ToolResult(place.value.decode(), cached=True)
            result = await self._inner.call(claimed, call_id, arguments)
            if not result.is_error:
                await place.keep(result.content.encode())
            return result

    def _tool(self, claimed: Claimed) -> Tool[..., Any] | None:
        agent = self._registry.find(claimed.agent)
        return None if agent is None else agent.find_tool(claimed.name)

    def _wanted(self, tool: Tool[..., Any], reuse: Reuse, claimed: Claimed, arguments: Mapping[str, Any]) -> Wanted:
        """The result of this call. Of the context, what the producer has put into it counts."""
        owner = claimed.tenant_id if reuse.scope == "tenant" else ""
        context = canonical(claimed.metadata) if tool.takes_context else ""
        parts = (reuse.scope, owner, self._release, claimed.agent, tool.name, canonical(arguments), context)
        digest = fingerprint(*(part.encode() for part in parts)).hex()
        labels = (f"tool:{tool.name}", f"agent:{claimed.agent}", f"tenant:{owner}")
        return Wanted("tool", tool.name, digest, reuse, labels)
