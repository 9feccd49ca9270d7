"""``@tool``: a plain function that the model may call."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, Literal, NoReturn, ParamSpec, TypeVar, cast, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, create_model

from agentfleet.agents.context import ToolContext
from agentfleet.agents.schemas import input_schema
from agentfleet.caching.reuse import Reuse
from agentfleet.domain.errors import InvalidInput

P = ParamSpec("P")
R = TypeVar("R")

Effect = Literal["read", "idempotent", "unsafe"]
"""What a call does to the world. ``read``: nothing. ``idempotent``: the same call twice is the same as once (pass
``ctx.effect_key`` on). ``unsafe``: twice is once too often; it is never repeated by us."""

EFFECTS: tuple[str, ...] = get_args(Effect)
_EXAMPLE = '@tool(effect="read" | "idempotent" | "unsafe")'
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # the Messages API's rule for tool names
_FIELD = "arg_"  # keeps parameters such as `schema` or `_id` clear of pydantic's own names


@dataclass(frozen=True)
class Tool(Generic[P, R]):
    """A function with what the model and the engine must know of it. Calling it calls the function."""

    name: str
    description: str
    effect: Effect
    timeout: float
    """Seconds that one call may take."""
    function: Callable[P, R]
    arguments: type[BaseModel]
    parameters: tuple[str, ...]
    takes_context: bool
    reuse: Reuse | None = None
    """For how long and for whom a result may be used again; ``None`` calls it every time."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, as if it were not decorated."""
        return self.function(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the event loop runs it; a thread does otherwise."""
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The provider's tool dict."""
        return {"name": self.name, "description": self.description, "input_schema": input_schema(self.arguments)}

    def parse(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The function's keyword arguments from parsed JSON; raises ``pydantic.ValidationError``."""
        values = self.arguments.model_validate_json(json.dumps(arguments))  # as JSON: strict types take its dates
        return {name: getattr(values, _FIELD + name) for name in self.parameters}


def tool(
    *misplaced: Any,
    effect: Effect | None = None,
    timeout: float = 60.0,
    name: str | None = None,
    cache: float | Reuse | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a tool of a function, sync or async: ``@tool(effect="read", timeout=20)``.

    The docstring is the description, the type hints become the schema that the model sees. A first parameter
    annotated ``ToolContext`` gets the context of the call. The result is any value that pydantic can serialise.

    Args:
        misplaced: not for use; catches ``@tool`` without parentheses.
        effect: ``read``, ``idempotent`` or ``unsafe``; required, because only its author knows.
        timeout: seconds that one call may take.
        name: what the model calls it; the function's name unless given.
        cache: seconds for which the same arguments get the same result without a call, within a tenant; or a
            ``Reuse``. Only for ``read``: a call that is skipped changes nothing.

    Raises:
        InvalidInput: what is missing or cannot be expressed, when the module is imported.
    """

    def make(function: Callable[P, R]) -> Tool[P, R]:
        return _make(function, effect, timeout, name, cache)

    if misplaced:
        _refuse(getattr(misplaced[0], "__name__", repr(misplaced[0])), f"write {_EXAMPLE} above it")
    return make


def _make(
    function: Callable[P, R], effect: Effect | None, timeout: float, name: str | None, cache: float | Reuse | None
) -> Tool[P, R]:
    title = name or getattr(function, "__name__", type(function).__name__)
    if effect is None or effect not in EFFECTS:
        _refuse(title, f"say what a call does to the world, {_EXAMPLE}, not {effect!r}")
    if not _NAME.fullmatch(title):
        _refuse(title, "a tool's name has 1 to 64 letters, digits, _ or -")
    if timeout <= 0:
        _refuse(title, f"timeout must be greater than zero seconds, not {timeout!r}")
    description = inspect.getdoc(function)
    if not description:
        _refuse(title, "it needs a docstring: that is all the model knows about it")
    parameters, takes_context = _parameters(title, function)
    model = _arguments_model(title, parameters)
    reuse = _reuse(title, effect, cache)
    return Tool(title, description, effect, timeout, function, model, tuple(parameters), takes_context, reuse)


def _reuse(title: str, effect: Effect, cache: float | Reuse | None) -> Reuse | None:
    if cache is None:
        return None
    if effect != "read":
        _refuse(title, f'cache is for effect="read": a cached call does not happen, and {effect!r} calls are to happen')
    if isinstance(cache, Reuse):
        return cache
    if isinstance(cache, bool) or cache <= 0:
        _refuse(title, f"cache must be seconds greater than zero or a Reuse, not {cache!r}")
    return Reuse(ttl=timedelta(seconds=cache))


def _parameters(title: str, function: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Name to (type, default) of what the model fills in, and whether the function takes the context first."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        _refuse(title, f"its type hints cannot be read: {error}")
    signature = list(inspect.signature(function).parameters.values())
    takes_context = bool(signature) and hints.get(signature[0].name) is ToolContext
    parameters: dict[str, tuple[Any, Any]] = {}
    for parameter in signature[1:] if takes_context else signature:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            _refuse(title, f"parameter {parameter} must be an ordinary one: the model passes arguments by name")
        if parameter.name not in hints:
            _refuse(title, f"parameter {parameter.name!r} needs a type hint: it becomes the schema")
        if hints[parameter.name] is ToolContext:
            _refuse(title, f"the ToolContext must be the first parameter, not {parameter.name!r}")
        default = ... if parameter.default is parameter.empty else parameter.default
        parameters[parameter.name] = (hints[parameter.name], default)
    return parameters, takes_context


def _arguments_model(title: str, parameters: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", alias_generator=lambda field: field.removeprefix(_FIELD))
    fields = cast("dict[str, Any]", {_FIELD + name: hint for name, hint in parameters.items()})
    try:
        model = create_model(title, __config__=config, **fields)
        input_schema(model)
    except PydanticUserError as error:
        _refuse(title, f"a type hint has no JSON form: {error.message}")
    return model


def _refuse(title: str, problem: str) -> NoReturn:
    raise InvalidInput(f"tool {title}", problem)
