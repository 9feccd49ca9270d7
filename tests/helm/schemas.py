"""Strict JSON schemas of Kubernetes' own kinds, and of the custom ones that the chart uses."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.helm.chart import ROOT

CRDS = ROOT.parent / "shared" / "crds"
"""Not part of this project: used where it is."""


class _Loader(yaml.CSafeLoader):
    """CRDs hold a bare ``=``, which YAML 1.1 takes for a default value."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:value"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def problems(one: dict[str, Any], kubernetes: str) -> list[str]:
    """Where ``one`` differs from what a cluster of that version takes."""
    group = one["apiVersion"].partition("/")[0]
    if group in {"keda.sh", "monitoring.coreos.com"}:
        validator = _custom(one["apiVersion"], one["kind"])
        body = one["spec"]
    else:
        validator = _native(one["apiVersion"], one["kind"], kubernetes)
        body = one
    where = f"{one['kind']}/{one['metadata']['name']}"
    return (
        [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(body)] if validator else []
    )


@cache
def _native(api_version: str, kind: str, kubernetes: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    name = f"{kind.lower()}-{group.partition('.')[0]}-{version}" if group else f"{kind.lower()}-{version}"
    schema = json.loads((_folder(kubernetes) / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=_definitions(kubernetes))


@cache
def _definitions(kubernetes: str) -> Registry[Any]:
    definitions = json.loads((_folder(kubernetes) / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


def _folder(kubernetes: str) -> Path:
    return Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema" / f"v{kubernetes}-local-strict"


@cache
def _custom(api_version: str, kind: str) -> Draft202012Validator | None:
    group, _, version = api_version.partition("/")
    path = CRDS / f"{group}_{kind.lower()}s.yaml"
    if not path.exists():
        return None
    crd = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  # a safe loader with one rule less
    (schema,) = (one["schema"] for one in crd["spec"]["versions"] if one["name"] == version)
    return Draft202012Validator(_strict(schema["openAPIV3Schema"]["properties"]["spec"]))


def _strict(schema: Any) -> Any:
    """A cluster drops fields that it does not know; here they are errors."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        closed = {"type": ["integer", "string"]}
    return closed
