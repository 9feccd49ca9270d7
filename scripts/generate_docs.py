"""Write the generated pages of docs/ from the tables that the code runs on; ``--check`` only names the stale ones.

Usage: python -m scripts.generate_docs [--check]
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from agentfleet import settings
from agentfleet.api import openapi, problems
from agentfleet.domain import errors, retry, states, verdicts
from agentfleet.domain.model import StepKind
from agentfleet.domain.retention import FOREVER
from agentfleet.domain.retry import Bury, HandBack, RetryAfter, RetryDecision, RetryPolicy, SnoozeFor
from agentfleet.domain.verdicts import VERDICTS, Verdict
from scripts.markdown import code, page, prose, table
from scripts.metrics_page import metrics_page

DOCS = Path(__file__).parent.parent / "docs"
CRASHES = retry.POISON_AFTER[StepKind.TOOL]
Rows = Mapping[tuple[Any, Any], Any]
Member = TypeVar("Member", bound=StrEnum)


def main(arguments: Sequence[str], docs: Path = DOCS) -> int:
    """Write every page that has changed, or with ``--check`` name it and return 1."""
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    pages = {
        "lifecycle.md": lifecycle(),
        "errors.md": error_tables(),
        "settings.md": setting_tables(),
        "problems.md": problem_table(),
        "metrics.md": metrics_page(),
        "openapi.json": json.dumps(openapi.document(), indent=2, ensure_ascii=False) + "\n",
    }
    stale = [name for name, text in pages.items() if _read(docs / name) != text]
    for name in stale:
        if arguments:
            print(f"docs/{name} is stale: run `make docs` and commit it")
        else:
            docs.mkdir(exist_ok=True)
            (docs / name).write_text(pages[name], encoding="utf-8")
            print(f"docs/{name} written")
    return 1 if arguments and stale else 0


# lifecycle.md


def lifecycle() -> str:
    """The two transition tables, drawn and written out."""
    return page(
        "Lifecycle",
        states,
        *_noun("step", states.STEP_TRANSITIONS, states.StepState, states.StepEvent, states.STEP_INITIAL),
        *_noun("run", states.RUN_TRANSITIONS, states.RunState, states.RunEvent, {states.RUN_INITIAL}),
        f"A waiting run says in `blocked_on` what it waits for: {code(states.BLOCKED_ON)}.",
    )


def _noun(
    name: str, rows: Rows, state: type[StrEnum], event: type[StrEnum], initial: Collection[StrEnum]
) -> Iterator[str]:
    leaving = {s: [e for source, e in rows if source is s] for s in state}
    moves = {e: [(s, to) for (s, row), to in rows.items() if row is e] for e in event}
    final = [s for s in state if not leaving[s]]
    # An event that ends whatever is open would be an arrow from every state: a sentence says it better.
    ends = {
        e: to for e, pairs in moves.items() for _, to in pairs if to in final and len(pairs) + len(final) == len(state)
    }
    yield f"## The states of a {name}"
    yield _diagram(
        {row: to for row, to in rows.items() if row[1] not in ends}, [s for s in state if s in initial], final
    )
    yield "Not drawn, from every state that is not final: " + ", ".join(f"`{e}` → {to}" for e, to in ends.items()) + "."
    yield table(
        ("State", "Meaning", "Leaves by"),
        [(f"`{s}`", meaning, code(leaving[s]) or "final") for s, meaning in _meanings(state).items()],
    )
    yield f"## The events of a {name}"
    yield table(
        ("Event", "Meaning", "Moves"),
        [
            (f"`{e}`", meaning, "<br>".join(f"{s} → {to}" for s, to in moves[e]))
            for e, meaning in _meanings(event).items()
        ],
    )


def _diagram(rows: Rows, initial: Collection[StrEnum], final: Collection[StrEnum]) -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), to in rows.items():
        arrows.setdefault((state, to), []).append(event)
    lines = [
        *(f"[*] --> {state}" for state in initial),
        *(f"{state} --> {to}: {', '.join(events)}" for (state, to), events in arrows.items()),
        *(f"{state} --> [*]" for state in final if state in rows.values()),
    ]
    return "\n".join(("```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"))


def _meanings(enum: type[Member]) -> dict[Member, str]:
    """Member → the docstring under it, which is in the source file only: Python drops it."""
    tree = ast.parse(inspect.getsource(sys.modules[enum.__module__]))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == enum.__name__]
    found = dict.fromkeys(enum, "")
    for member, below in pairwise(body):
        match member, below:
            case ast.Assign(targets=[ast.Name(name)]), ast.Expr(ast.Constant(str(text))):
                found[enum[name]] = prose(text)
            case _:
                pass
    return found


# errors.md


def error_tables() -> str:
    """The error tree, the verdict of each error, and what each verdict leads to."""
    policy = RetryPolicy()
    curve = (retry.__doc__ or "").split("\n\n")[1]
    tree = (errors.__doc__ or "").partition("::\n\n")[2]
    return page(
        "Errors and verdicts",
        verdicts,
        "## The errors",
        f"```text\n{textwrap.dedent(tree).replace('``', '').strip()}\n```",
        "## The verdict of each error",
        "An error that is not in this table has the verdict of its nearest ancestor that is; failing that, "
        f"`{Verdict.UNCLASSIFIED}`.",
        table(
            ("Error", "Meaning", "Verdict"),
            [(f"`{cls.__name__}`", _summary(cls), f"`{verdict}`") for cls, verdict in VERDICTS.items()],
        ),
        "## What a verdict leads to",
        prose(curve),
        "With the default settings; `retry-after` is the server's word on when to come back:",
        table(
            (
                "Verdict", "Meaning", "The first time",
                f"After {policy.max_attempts} attempts, {CRASHES} crashes of a tool or many waits", "`retry-after`",
            ),
            [(f"`{verdict}`", meaning, *_consequences(verdict, policy))
             for verdict, meaning in _meanings(Verdict).items()],
        ),
    )  # fmt: skip


def _consequences(verdict: Verdict, policy: RetryPolicy) -> tuple[str, str, str]:
    """First, finally, and whether ``retry-after`` is obeyed: asked of ``decide`` itself, at both ends of the jitter."""

    def ends(attempt: int, snoozes: int, crashes: int, retry_after: float | None = None) -> list[RetryDecision]:
        counters = {"attempt": attempt, "snoozes": snoozes, "crashes": crashes}
        decide = partial(retry.decide, verdict, policy, kind=StepKind.TOOL, **counters)
        return [decide(jitter=j, retry_after=retry_after) for j in (0.0, 1.0)]

    first = _words(*ends(1, 0, 1))
    finally_ = _words(*ends(policy.max_attempts, 1_000, CRASHES))
    told = 10 * policy.cap
    match ends(1, 0, 1, told)[0]:
        case RetryAfter(seconds) | SnoozeFor(seconds, _):
            obeyed = "obeyed" if seconds >= told else "ignored"
        case _:
            obeyed = ""
    return first, "the same" if finally_ == first else finally_, obeyed


def _words(least: RetryDecision, most: RetryDecision) -> str:
    match least, most:
        case RetryAfter(low), RetryAfter(high):
            return f"Tried again {_span(low, high)}; an attempt is spent."
        case SnoozeFor(low, blocked_on), SnoozeFor(high, _):
            return f"Waits for the {blocked_on} and is tried again {_span(low, high)}; no attempt is spent."
        case HandBack(), _:
            return "Ready at once, for another worker; no attempt is spent."
        case Bury(verdict), _:
            return f"Buried as `{verdict}`: a dead letter, and the run needs review."
        case _:
            raise AssertionError(least, most)


def _span(low: float, high: float) -> str:
    return f"after up to {_duration(high)}" if low == 0 else f"after {_duration(low)} to {_duration(high)}"


def _duration(seconds: float) -> str:
    if seconds >= 86_400:
        return f"{seconds // 86_400:g} days"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


# settings.md


def setting_tables() -> str:
    """Every setting under the heading that the source gives it."""
    blocks: list[str] = []
    for heading, names in _sections().items():
        fields = {name: settings.Settings.model_fields[name] for name in names}
        rows = [(_variable(name, field), _default(field), _meaning(field)) for name, field in fields.items()]
        blocks += [f"## {heading}", table(("Variable", "Default", "Meaning"), rows)]
    return page("Settings", settings, prose((settings.__doc__ or "").split("\n\n")[1]), *blocks)


def problem_table() -> str:
    """Every problem of the HTTP API and what to do about it."""
    rows = [(code([kind.code]), str(kind.status), kind.title, kind.remedy) for kind in problems.PROBLEMS.values()]
    return page("Problems of the HTTP API", problems, table(("code", "status", "what it means", "what to do"), rows))


def _sections() -> dict[str, list[str]]:
    """Heading → fields: a comment of one line above a group of fields is the group's heading."""
    found: dict[str, list[str]] = {}
    for line in "".join(map(inspect.getsource, _parts())).splitlines():
        if heading := re.match(r" {4}# (.+)", line):
            found[heading[1]] = []
        elif (field := re.match(r" {4}(\w+): ", line)) and field[1] in settings.Settings.model_fields:
            found[next(reversed(found))].append(field[1])
    return found


def _parts() -> list[type]:
    """Our classes that the settings are made of."""
    return [part for part in settings.Settings.__mro__ if part.__module__.startswith(settings.__name__)]


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    prefix = settings.Settings.model_config.get("env_prefix", "")
    names = alias.choices if isinstance(alias, AliasChoices) else [f"{prefix}{name.upper()}"]
    return " or ".join(f"`{name}`" for name in names)


def _default(field: FieldInfo) -> str:
    match field.default:
        case None | () | "":
            return "unset"
        case bool(value):
            return f"`{str(value).lower()}`"
        case float(value):
            return f"`{value:g}`" if value < FOREVER else "`forever`"
        case value:
            return f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"{field.description} One of {code(choices)}." if choices else field.description or ""


def _summary(cls: type) -> str:
    return prose((cls.__doc__ or "").split("\n\n")[0])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
