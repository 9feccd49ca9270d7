"""Calls the users' tools. Implements ``engine.ports.Toolbox``.

What the model can mend comes back as a result with ``is_error``; only what it cannot mend is raised.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from pydantic import ValidationError

from agentfleet.agents.context import ToolContext
from agentfleet.agents.invoke import invoke
from agentfleet.agents.output import checker
from agentfleet.agents.problems import compact
from agentfleet.agents.registry import Registry
from agentfleet.agents.results import as_text
from agentfleet.agents.text import capped, storable
from agentfleet.agents.tool import Tool
from agentfleet.domain.budget import budget_from_json
from agentfleet.domain.errors import StepError, Unserviceable
from agentfleet.domain.model import Bundle, Claimed
from agentfleet.domain.plan import Rules
from agentfleet.domain.routing import route_from_json
from agentfleet.engine.ports import ToolResult
from agentfleet.telemetry import genai, tracing

MAX_RESULT_BYTES = 256 * 1024
"""More text than this is no answer but a dump: it would fill the model's context window."""


class AgentToolbox:
    """The tools of the agents in ``registry``; those that are not async run in ``threads``."""

    def __init__(self, registry: Registry, threads: Executor) -> None:
        self._registry = registry
        self._threads = threads

    def rules(self, bundle: Bundle) -> Rules:
        """What the agent loop may do under ``bundle``, whatever the code says by now.

        Raises ``Unserviceable`` when the agent is unknown here.
        """
        agent = self._registry.find(bundle.agent)
        if agent is None:
            raise Unserviceable(f"there is no agent {bundle.agent!r} in this deployment", bundle_id=bundle.id)
        effects = {name: rule["effect"] for name, rule in bundle.spec["tool_rules"].items()}
        return Rules(
            bundle.spec["model"],
            budget_from_json(bundle.spec["budget"]),
            effects,
            checker(agent.output_type),
            tuple(map(route_from_json, bundle.spec.get("routes", ()))),  # not there in bundles of releases before 0.4
            tuple(bundle.spec.get("fallback_models", ())),
        )

    async def call(self, claimed: Claimed, call_id: str, arguments: Mapping[str, Any]) -> ToolResult:
        """What the model should see of this call.

        Raises ``Unserviceable`` when a tool that the run was promised is not here, ``EffectUnknown`` when an unsafe
        tool outlived its timeout, and every ``StepError`` that the tool raises itself, such as ``ToolRetry``.
        """
        tool = self._find(claimed)
        if tool is None:
            return _error(self._no_such_tool(claimed))
        try:
            keywords = tool.parse(arguments)
        except ValidationError as error:
            return _error(f"the arguments are not valid: {compact(error)}")
        with tracing.tool(claimed, call_id) as span:
            if span.content:
                span.set(genai.arguments_content(arguments))
            context = ToolContext.of(claimed, call_id)
            try:
                result = await invoke(tool, context, keywords, self._threads, unsafe=claimed.effect == "unsafe")
            except StepError:
                raise
            except (Exception, SystemExit) as error:  # a tool may raise anything, and the model may mend it
                span.fail(type(error).__name__)
                context.log.warning("tool_raised", tool=tool.name, exc_info=True)
                return _error(f"{type(error).__name__}: {error}")
            answer = _answer(result)
            if span.content:
                span.set(genai.result_content(answer.content))
            return answer

    def _find(self, claimed: Claimed) -> Tool[..., Any] | None:
        """The tool, or ``None`` when the model invented it: the run's bundle has no effect for that name."""
        agent = self._registry.find(claimed.agent)
        if agent is None:
            raise Unserviceable(f"there is no agent {claimed.agent!r} in this deployment", bundle_id=claimed.bundle_id)
        if claimed.effect is None:
            return None
        tool = agent.find_tool(claimed.name)
        if tool is None:
            raise Unserviceable(
                f"the agent {claimed.agent!r} no longer has a tool {claimed.name!r}", bundle_id=claimed.bundle_id
            )
        return tool

    def _no_such_tool(self, claimed: Claimed) -> str:
        names = sorted(tool.name for tool in self._registry.get(claimed.agent).tools if tool.name != claimed.name)
        return f"there is no tool {claimed.name!r}; you have: {', '.join(names) or 'none'}"


def _answer(result: Any) -> ToolResult:
    try:
        text = as_text(result)
    except ValueError as error:
        return _error(f"the tool ran, but its result has no JSON form: {error}")
    return ToolResult(capped(storable(text), MAX_RESULT_BYTES))


def _error(text: str) -> ToolResult:
    return ToolResult(capped(storable(text), MAX_RESULT_BYTES), is_error=True)
