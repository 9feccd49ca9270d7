"""One call of one tool, bounded in time. A sync tool runs in a thread, which nobody can stop."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from agentfleet.agents.context import ToolContext
from agentfleet.agents.tool import Tool
from agentfleet.cancellation import cancelled
from agentfleet.domain.errors import EffectUnknown, StepTimeout, WorkerStopping


async def invoke(
    tool: Tool[..., Any], context: ToolContext, keywords: Mapping[str, Any], threads: Executor, *, unsafe: bool
) -> Any:
    """The tool's result.

    Raises whatever the tool raises, and when its time is up: ``EffectUnknown`` if it is ``unsafe`` (by its code or by
    the bundle), ``StepTimeout`` if no thread was free, so that it never started, and ``TimeoutError`` otherwise.
    """
    positional = (context,) if tool.takes_context else ()
    function = partial(tool.function, *positional, **keywords)
    scope = asyncio.timeout(tool.timeout)
    job = None if tool.is_async else _submit(function, threads)
    try:
        async with scope:
            return await (function() if job is None else asyncio.wrap_future(job))
    except TimeoutError:
        if not scope.expired():  # the tool's own
            raise
        if job is not None and job.cancelled():  # a job that has started cannot be cancelled
            raise StepTimeout(f"no thread for the tool {tool.name!r} was free within {tool.timeout:g} s") from None
        message = f"the tool {tool.name!r} did not end within {tool.timeout:g} s"
        if unsafe or tool.effect == "unsafe":
            raise EffectUnknown(f"{message}: whether it happened is unknown", effect_key=context.effect_key) from None
        raise TimeoutError(message) from None
    except asyncio.CancelledError as error:
        if cancelled():
            raise
        raise RuntimeError("the tool cancelled itself") from error  # nobody asked this step to stop


def _submit(function: Callable[[], Any], threads: Executor) -> Future[Any]:
    """Start ``function`` in a thread that sees the caller's context variables, such as the logger's."""
    try:
        return threads.submit(contextvars.copy_context().run, _guarded, function)
    except RuntimeError as error:
        raise WorkerStopping(f"the tool threads are closed: {error}") from None


def _guarded(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except StopIteration as error:  # a future cannot carry it: whoever awaits would wait for ever
        raise RuntimeError("the tool raised StopIteration: next() found nothing") from error
