"""What docs/guides/kubernetes.md shows works: its values render, its commands parse."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.helm.chart import CHART, CI, NEWEST, ROOT, helm, objects, thorough
from tests.helm.schemas import problems

GUIDE = (ROOT / "docs" / "guides" / "kubernetes.md").read_text()
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", GUIDE, re.MULTILINE | re.DOTALL)
VALUES = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
COMMANDS = [line.lstrip()[2:] for language, text in BLOCKS if language == "console" for line in text.splitlines()]
HELM = [shlex.split(command)[1:] for command in COMMANDS if command.startswith("helm ")]


def test_there_is_something_to_test() -> None:
    assert (len(VALUES) > 8, len(HELM) > 6, {language for language, _ in BLOCKS}) == (
        True,
        True,
        {"console", "sql", "yaml"},
    )


def test_values_are_values_of_the_chart() -> None:
    schema = Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))
    assert [error.message for values in VALUES for error in schema.iter_errors(values)] == []


@thorough
@pytest.mark.parametrize("values", VALUES, ids=lambda values: next(iter(values)))
def test_values_render_to_valid_objects(values: dict[str, object]) -> None:
    found = [one for one in objects("minimal", values) if not one["apiVersion"].startswith("external-secrets.io/")]
    assert [problem for one in found for problem in problems(one, NEWEST)] == []


@pytest.mark.parametrize("command", [one for one in HELM if one[0] in {"install", "upgrade"}], ids=" ".join)
def test_installations_render(command: list[str], tmp_path: Path) -> None:
    verb, release, chart, *options = command
    assert (ROOT / chart) == CHART
    values = tmp_path / "values.yaml"
    values.write_text(CI["minimal"].read_text())
    shown = [str(values) if option == "values.yaml" else option for option in options if option != "--create-namespace"]
    given = ["--values", str(values)] if "--reuse-values" in shown else []
    upgrade = ["--is-upgrade"] if verb == "upgrade" else []
    text = helm(
        "template",
        release,
        str(CHART),
        *given,
        *[one for one in shown if one != "--reuse-values"],
        *upgrade,
        "--kube-version",
        NEWEST,
    )
    assert f"{release}-agentfleet-ingress" in text


def test_names_that_are_shown_are_those_of_the_release() -> None:
    made = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects("minimal", release="fleet")}
    assert (
        set(re.findall(r"(?:job|deployment|service)/[a-z][a-z-]+", " ".join(re.findall(r"kubectl [^`\n]+", GUIDE))))
        <= made
    )


def test_secrets_that_are_made_are_those_that_are_named() -> None:
    named = set(re.findall(r"existingSecret: ([a-z-]+)", json.dumps(VALUES).replace('"', "")))
    made = {command.split(" secret generic ")[1].split()[0] for command in COMMANDS if " secret generic " in command}
    assert made <= named
