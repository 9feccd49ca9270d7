"""Facts about models: which of them share a rate limit bucket, and how much each may write.

Groups: https://platform.claude.com/docs/en/api/rate-limits. Output maxima: the models overview of the same pages.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_DATE = re.compile(r"[-@]\d{8}$")


@dataclass(frozen=True, slots=True)
class Model:
    """One model, or, where ``group`` ends in ``.x``, every version that begins like it."""

    id: str
    group: str
    max_output: int = 128_000


TABLE: tuple[Model, ...] = (
    Model("claude-fable-5", "fable-5.x"),
    Model("claude-opus-5-5", "opus-5.5"),
    Model("claude-opus-5", "opus-5"),
    Model("claude-opus-4", "opus-4.x"),
    Model("claude-opus-4-5", "opus-4.x", 64_000),
    Model("claude-opus-4-1", "opus-4.x", 32_000),
    Model("claude-opus-4-0", "opus-4.x", 32_000),
    Model("claude-sonnet-5-5", "sonnet-5.5"),
    Model("claude-sonnet-5", "sonnet-5"),
    Model("claude-sonnet-4", "sonnet-4.x"),
    Model("claude-sonnet-4-5", "sonnet-4.x", 64_000),
    Model("claude-sonnet-4-0", "sonnet-4.x", 64_000),
    Model("claude-haiku-5-5", "haiku-5.5"),
    Model("claude-haiku-4-5", "haiku-4.5", 64_000),
)

_BY_ID: Mapping[str, Model] = MappingProxyType({model.id: model for model in TABLE})
_FAMILIES = tuple(model for model in TABLE if model.group.endswith(".x"))


def group_of(model: str) -> str:
    """The rate limit group of a model; release dates do not matter. An unknown model is a group of its own."""
    row = find_model(model)
    return row.group if row else undated(model)


def max_output(model: str) -> int | None:
    """Most tokens that one answer of the model may have; ``None`` when it is unknown."""
    row = find_model(model)
    return row.max_output if row else None


def find_model(model: str) -> Model | None:
    """The row of a model: its own, else that of its family."""
    name = undated(model)
    family = (row for row in _FAMILIES if name.startswith(f"{row.id}-"))
    return _BY_ID.get(name) or max(family, key=lambda row: len(row.id), default=None)


def undated(model: str) -> str:
    """``claude-haiku-4-5`` for ``claude-haiku-4-5-20251001``: both name the same model."""
    return _DATE.sub("", model)
