"""The demo keeps its word, and its reports say what is really installed: computed here once more, without any agent."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.acceptance.stacks import command, environment, place

INSTALLED = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}


@dataclass
class Demo:
    """What the demo left behind."""

    exit_code: int
    output: str
    reports: list[dict[str, Any]]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo over everything that is installed, once for this file."""
    with place() as directory:
        arguments = command("demo", "--exit", "--port", "0", "--report", "reports.json")
        ended = subprocess.run(
            arguments,
            cwd=directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        report = directory / "reports.json"
        assert report.exists(), ended.stdout
        yield Demo(ended.returncode, ended.stdout, json.loads(report.read_text()))


def test_a_killed_worker_loses_no_run_and_settles_no_step_twice(demo: Demo) -> None:
    number = len(INSTALLED)
    last = demo.output.splitlines()[-1]
    assert last == f"runs={number} succeeded={number} lost=0 settled_twice=0 worker_kills=1", demo.output
    assert demo.exit_code == 0
    assert "SIGKILL" in demo.output
    assert "started again" in demo.output


def test_every_installed_distribution_is_reported_once(demo: Demo) -> None:
    assert sorted(canonicalize_name(report["distribution"]) for report in demo.reports) == sorted(INSTALLED)


def test_the_facts_are_those_of_importlib_metadata(demo: Demo) -> None:
    wrong = {
        report["distribution"]: {name: (report[name], value) for name, value in facts.items() if report[name] != value}
        for report in demo.reports
        if not (facts := facts_of(INSTALLED[canonicalize_name(report["distribution"])])).items() <= report.items()
    }
    assert wrong == {}


def test_a_license_is_named_where_the_distribution_names_one_and_nowhere_else(demo: Demo) -> None:
    for report in demo.reports:
        found = INSTALLED[canonicalize_name(report["distribution"])]
        told = [line for line in (found.read_text("METADATA") or "").split("\n\n")[0].splitlines() if "License" in line]
        named = [
            line for line in told if line.startswith(("License:", "License-Expression:", "Classifier: License ::"))
        ]
        if report["license"] is None:
            assert named == []
        else:
            assert any(line.endswith(report["license"]) for line in named), (report, named)


def test_the_risk_follows_from_the_facts(demo: Demo) -> None:
    for report in demo.reports:
        faults = [report["license"] is None, bool(report["missing_requirements"]), report["size_bytes"] > 50 * 2**20]
        assert (report["risk"] == "low") is not any(faults), report
        assert report["why"]


def facts_of(found: Distribution) -> dict[str, Any]:
    files = [file for file in found.files or () if not str(file).endswith(".pyc")]
    paths = [Path(str(found.locate_file(file))) for file in files]
    needed = [requirement for text in found.requires or () if applies(requirement := Requirement(text))]
    return {
        "distribution": found.metadata["Name"],
        "version": found.version,
        "file_count": len(files),
        "size_bytes": sum(path.stat().st_size for path in paths if path.is_file()),
        "requirements": [str(requirement) for requirement in needed],
        "missing_requirements": [one.name for one in needed if canonicalize_name(one.name) not in INSTALLED],
    }


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
