"""The fault matrix, its tests, its figures and its page belong together."""

import ast
import json
from pathlib import Path

import pytest

from tests.chaos.matrix import ROWS, Row
from tests.chaos.report import DOCS, RECORDED, load, page, problems

HERE = Path(__file__).parent
IDS = [f"F{number}" for number in [*range(1, 43), 47]]


def test_it_has_every_fault_once():
    assert [row.id for row in ROWS] == IDS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_has_its_test_which_notes_every_figure_that_is_bounded(row: Row):
    file, _, name = row.test.partition("::")
    code = (HERE / file).read_text("utf-8")
    tests = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in tests
    assert f'"{row.id}"' in code, "it notes its row"
    for key in row.bounds:
        assert key == "p99_s" or f"{key}=" in code, f"it notes {key}"


def test_the_page_shows_the_matrix_and_what_was_measured():
    text = (DOCS / "guarantees.md").read_text("utf-8")
    assert page(json.loads(RECORDED.read_text()), text) == text, "run `python -m tests.chaos.report`"


def test_a_figure_out_of_its_bounds_is_found(tmp_path: Path):
    row = Row("F0", "", "", "", "", {"lost": 0, "p99_s": 5})
    assert problems(row, None) == ["not measured"]
    assert problems(row, {"n": 1, "lost": 0}) == ["p99_s was not noted"]
    assert problems(row, {"n": 1, "lost": 0, "p99_s": 5}) == []
    assert problems(row, {"n": 1, "lost": 1, "p99_s": 5.1}) == ["lost=1 > 0", "p99_s=5.1 > 5"]
    notes = [{"row": "F0", "test": "t", "n": 2, "lost": 0, "p99_s": 3.0}, {"row": "F0", "test": "t", "n": 1, "lost": 1}]
    (tmp_path / "figures").write_text("".join(json.dumps(note) + "\n" for note in notes))
    assert load(tmp_path / "figures") == {"F0": {"n": 3, "lost": 1, "p99_s": 3.0}}
