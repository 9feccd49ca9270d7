"""What `make lock` writes is complete, and the image gets what the tests ran on."""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLOUDS = {"bedrock", "vertex"}
"""Extras that find a cloud's credentials: what they bring is large, and neither the suite nor the image needs it."""
IN_THE_IMAGE = [line for name in ("archive", "tracing") for line in PROJECT["optional-dependencies"][name]]
EXTRAS = [line for name, extra in PROJECT["optional-dependencies"].items() if name not in CLOUDS for line in extra]


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def installed_closure(lines: Iterable[str]) -> set[str]:
    """The names of the requirements and of everything that they need on this machine."""
    found: set[str] = set()
    todo = [(Requirement(line), "") for line in lines]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement, for_extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": for_extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [(Requirement(line), extra) for line in metadata.requires(name) or ()]
    return found


@pytest.mark.parametrize(
    ("lock", "lines"),
    [
        ("requirements.lock", [*PROJECT["dependencies"], *EXTRAS]),
        ("requirements-runtime.lock", [*PROJECT["dependencies"], *IN_THE_IMAGE]),
    ],
)
def test_a_lock_pins_everything_that_is_needed(lock: str, lines: list[str]) -> None:
    missing = installed_closure(lines) - pins(lock).keys()
    assert not missing, f"{lock} is stale: run `make lock`"


def test_the_image_runs_the_versions_that_were_tested() -> None:
    tested = pins("requirements.lock")
    assert pins("requirements-runtime.lock").items() <= tested.items(), "the locks differ: run `make lock`"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-runtime.lock"])
def test_a_lock_names_hashes_and_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "--index-url" not in text
    assert "--find-links" not in text
    _, *blocks = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)
    assert blocks
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
