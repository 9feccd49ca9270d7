import re
from pathlib import Path
from statistics import median

import pytest
from importlinter.cli import lint_imports

from agentfleet.domain import errors
from agentfleet.domain.verdicts import VERDICTS

ROOT = Path(__file__).parent.parent.parent
LONGEST_FILE, MEDIAN_FILE = 300, 110  # lines: a file is one noun or one verb, and fits into a reader's head
DEFINED = {
    name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and cls.__module__ == errors.__name__
}


def lengths() -> dict[str, int]:
    files = [path for package in ("agentfleet", "workers") for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}


def test_no_file_is_long() -> None:
    assert {name: lines for name, lines in lengths().items() if lines > LONGEST_FILE} == {}


def test_most_files_are_short() -> None:
    assert median(lengths().values()) <= MEDIAN_FILE


def test_every_step_error_has_a_verdict() -> None:
    steps = {cls for cls in DEFINED.values() if issubclass(cls, errors.StepError)}
    parents = {parent for cls in steps for parent in cls.__bases__}
    assert steps - parents - set(VERDICTS) == set()


def test_the_tree_of_errors_is_drawn_as_it_is_defined() -> None:
    assert drawn_tree(errors.__doc__ or "") == {name: cls.__bases__[0].__name__ for name, cls in DEFINED.items()}


def drawn_tree(text: str) -> dict[str, str]:
    """Name → parent, read from the drawing in a docstring: three columns a level, equals separated by a dot."""
    parents: dict[str, str] = {}
    above = ["Exception"]
    for line in text.partition("::")[2].splitlines():
        if match := re.match(r"^ {4}((?:│  |   )*(?:[├└]─ )?)(\w+(?: · \w+)*)", line):
            level = len(match[1]) // 3
            names = match[2].split(" · ")
            parents |= dict.fromkeys(names, above[level])
            above[level + 1 :] = [names[-1]]
    return parents


def test_imports_point_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)  # import-linter reads the contracts of the pyproject.toml where it stands
    assert lint_imports(no_cache=True, no_logo=True) == 0, capsys.readouterr().out
