"""Blocks of Markdown, for the generated pages."""

import re
from collections.abc import Collection, Sequence
from types import ModuleType


def page(title: str, source: ModuleType, *blocks: str) -> str:
    """A page that says from where it was generated."""
    path = source.__name__.replace(".", "/") + ("/__init__.py" if hasattr(source, "__path__") else ".py")
    origin = f"<!-- Generated from {path} by scripts/generate_docs.py: change the code, then run `make docs`. -->"
    return "\n\n".join((f"# {title}", origin, *blocks)) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(words: Collection[str]) -> str:
    """Words in code type, with commas."""
    return ", ".join(f"`{word}`" for word in words)


def prose(text: str) -> str:
    """A docstring's paragraph as one line."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
