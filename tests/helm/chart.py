"""What the chart renders, as objects; the same rendering is done once per test process."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tooling import REQUIRED, program

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "agentfleet"
CI = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
HELMS = ("helm", "helm3")
NEWEST = "1.37.0"

thorough = pytest.mark.skipif(not REQUIRED, reason="`make helm-test` runs these, with AGENTFLEET_TOOLS=required")
"""Marks what a suite that is run all day long leaves out."""

Object = dict[str, Any]
PODS = {"Deployment": ("spec", "template"), "Job": ("spec", "template"), "Pod": ()}


def cases(*always: str) -> list[Any]:
    """Every file of ci/, of which a suite that is run all day long sees ``always``."""
    return [name if name in always else pytest.param(name, marks=thorough) for name in CI]


class Refused(Exception):
    """Helm refused; the message is what it says."""


def helm(*arguments: str, using: str = "helm") -> str:
    """What Helm prints; raises ``Refused``."""
    done = subprocess.run([program(using), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


@cache
def text(
    case: str,
    overrides: str = "{}",
    *,
    release: str = "rel",
    kubernetes: str = NEWEST,
    apis: str = "",
    using: str = "helm",
) -> str:
    """The manifests of a file of ci/ with ``overrides`` (JSON) on top."""
    shown = ["--namespace", "agents", "--kube-version", kubernetes, *(["--api-versions", apis] if apis else [])]
    return helm("template", release, str(CHART), "--values", str(CI[case]), *_json(overrides), *shown, using=using)


def objects(case: str, overrides: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Object]:
    """The same as objects, which nobody may change."""
    return _objects(case, json.dumps(overrides or {}), **kwargs)


@cache
def _objects(case: str, overrides: str, **kwargs: Any) -> list[Object]:
    return parse(text(case, overrides, **kwargs))


def parse(manifests: str) -> list[Object]:
    """The objects of a stream of YAML."""
    return [found for found in yaml.load_all(manifests, Loader=yaml.CSafeLoader) if found]


def named(found: list[Object], kind: str) -> dict[str, Object]:
    """The objects of one kind by what follows the release's name."""
    names = {one["metadata"]["name"]: one for one in found if one["kind"] == kind}
    return {name.removeprefix("rel-agentfleet").removeprefix("-"): one for name, one in names.items()}


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and pod template (metadata, spec) of everything that runs."""
    for one in found:
        if one["kind"] in PODS:
            template = one
            for step in PODS[one["kind"]]:
                template = template[step]
            yield f"{one['kind']}/{one['metadata']['name']}", template


def environment(container: Object, found: list[Object]) -> dict[str, str]:
    """The variables of a container; one out of a Secret is ``$name/key``."""
    maps = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    merged = {
        key: value
        for source in container.get("envFrom", [])
        for key, value in maps[source["configMapRef"]["name"]].items()
    }
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        merged[variable["name"]] = (
            f"${reference['name']}/{reference['key']}" if reference else variable.get("value", "")
        )
    return merged


def _json(overrides: str) -> list[str]:
    given = json.loads(overrides)
    return [part for key, value in given.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]
