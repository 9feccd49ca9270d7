"""``Agent``: a model, what it is told, what it may call, what it may spend."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, get_args

from pydantic import BaseModel, ValidationError

from agentfleet.agents.problems import compact
from agentfleet.agents.schemas import output_schema
from agentfleet.agents.text import storable
from agentfleet.agents.tool import Tool
from agentfleet.caching.reuse import Reuse
from agentfleet.domain.budget import Budget, budget_to_json
from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.routing import Route, pick, route_to_json

Thinking = Literal["adaptive", "disabled"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_POOL = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What a run runs. Raises ``InvalidInput`` at once when it could not run."""

    name: str
    model: str
    instructions: str = ""
    tools: Sequence[Tool[..., Any]] = ()
    output_type: type[BaseModel] | None = None
    """What the run's output must be; plain text without it."""
    input_type: type[BaseModel] | None = None
    """What the run's input must be; any text or JSON without it."""
    budget: Budget = field(default_factory=Budget)
    max_tokens: int = 8_192
    """Room for one answer of the model, in tokens."""
    thinking: Thinking | None = None
    """``None`` leaves it to the model's default."""
    effort: Effort | None = None
    """``None`` leaves it to the model's default."""
    cache: bool = True
    """Whether the provider may cache the conversation's prefix."""
    cache_answers: Reuse | None = None
    """For how long and for whom the model's answers may be used again; ``None`` asks it every time."""
    routes: Sequence[Route] = ()
    """Turns that are for another model; the first that holds decides, and else ``model``."""
    fallback_models: Sequence[str] = ()
    """Who stands in, in this order, where a model is overloaded, unknown or refuses and nothing was thought yet."""
    pool: str = "default"
    """Whose workers run its steps."""
    max_attempts: int | None = None
    """Attempts of a step before it is buried; ``None`` takes the setting."""
    batch: bool | None = None
    """Whether runs with a deadline go through Message Batches; ``None``: those whose deadline is loose do."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tools", tuple(self.tools))
        if not _NAME.fullmatch(self.name):
            self._refuse("name has 1 to 60 lower-case letters, digits, _ or -, a letter first")
        if not self.model:
            self._refuse("model must be a model's id")
        object.__setattr__(self, "routes", tuple(self.routes))
        object.__setattr__(self, "fallback_models", self._fallbacks())
        if storable(self.instructions) != self.instructions:
            self._refuse("instructions hold a NUL or a lone surrogate, which no provider accepts")
        for value, choices in ((self.thinking, get_args(Thinking)), (self.effort, get_args(Effort))):
            if value is not None and value not in choices:
                self._refuse(f"{value!r} is none of {', '.join(choices)}")
        if self.max_tokens < 1:
            self._refuse(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.max_attempts is not None and self.max_attempts < 1:
            self._refuse(f"max_attempts must be at least 1, not {self.max_attempts}")
        if not _POOL.fullmatch(self.pool):
            self._refuse("pool has 1 to 40 lower-case letters, digits, _ or -, a letter first")
        self._check_tools()
        self._check_routes()
        if self.output_type is not None:
            output_schema(self.output_type)

    @property
    def first_model(self) -> str:
        """The model of a run's first turn."""
        return pick(self.model, self.routes, 1)

    def find_tool(self, name: str) -> Tool[..., Any] | None:
        """Its tool of that name, if it has one."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def check_input(self, value: Any) -> None:
        """Raise ``InvalidInput`` unless ``value``, parsed JSON, is what ``input_type`` asks for."""
        if self.input_type is None:
            return
        try:
            self.input_type.model_validate(value)
        except ValidationError as error:
            raise InvalidInput("input", compact(error)) from None

    def spec(self) -> dict[str, Any]:
        """What a run of this agent is pinned to; JSON-safe. ``tools`` are the provider's tool dicts, in order."""
        return {
            "agent": self.name,
            "model": self.model,
            "instructions": self.instructions,
            "tools": [tool.spec for tool in self.tools],
            "tool_rules": {tool.name: {"effect": tool.effect, "timeout": tool.timeout} for tool in self.tools},
            "output_schema": None if self.output_type is None else output_schema(self.output_type),
            "max_tokens": self.max_tokens,
            "budget": budget_to_json(self.budget),
            "thinking": self.thinking,
            "effort": self.effort,
            "cache": self.cache,
            "cache_answers": None if self.cache_answers is None else self.cache_answers.to_json(),
            "max_attempts": self.max_attempts,
            "routes": [route_to_json(route) for route in self.routes],
            "fallback_models": list(self.fallback_models),
        }

    def _check_tools(self) -> None:
        names: set[str] = set()
        for tool in self.tools:
            if not isinstance(tool, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]  # users may not check types
                self._refuse(f"{tool!r} is no tool: decorate it with @tool(effect=...)")
            if tool.name in names:
                self._refuse(f"two tools are called {tool.name!r}")
            names.add(tool.name)

    def _check_routes(self) -> None:
        names = {tool.name for tool in self.tools}
        seen: list[dict[str, Any]] = []
        for place, route in enumerate(self.routes, 1):
            if not isinstance(route, Route):  # pyright: ignore[reportUnnecessaryIsInstance]  # users may not check types
                self._refuse(f"{route!r} is no Route")
            unknown = set(route.tools) - names
            if unknown:
                self._refuse(f"route {place} follows {min(unknown)!r}, which is none of its tools")
            conditions = route_to_json(route) | {"model": None}
            if conditions in seen:
                self._refuse(f"route {place} never holds: route {seen.index(conditions) + 1} has the same conditions")
            seen.append(conditions)

    def _fallbacks(self) -> tuple[str, ...]:
        if isinstance(self.fallback_models, str):
            self._refuse(f"fallback_models is a list of model ids: [{self.fallback_models!r}]")
        models = tuple(self.fallback_models)
        if not all(models) or len({self.model, *models}) <= len(models):
            self._refuse("fallback_models are ids of models, each once, and not its own model")
        return models

    def _refuse(self, problem: str) -> NoReturn:
        raise InvalidInput(f"agent {self.name!r}", problem)
