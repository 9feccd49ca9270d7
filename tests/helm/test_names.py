"""Several releases live side by side: cells in one namespace, stages in one cluster, on one Redis."""

import re

import pytest

from tests.helm.chart import named, objects, thorough

LONG = "a-release-whose-name-is-as-long-as-helm-lets-a-name-be"[:53]


def identities(release: str, **kwargs: str) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in objects("ha", release=release, **kwargs)}


@pytest.mark.parametrize(
    "other", ["cell-b", *(pytest.param(name, marks=thorough) for name in ("agentfleet", "cell", "cell-a-agentfleet"))]
)
def test_two_releases_share_no_name(other: str) -> None:
    assert identities("cell-a") & identities(other) == set()


def test_two_releases_share_no_key_of_redis() -> None:
    prefixes = [
        one["data"]["AGENTFLEET_REDIS_PREFIX"]
        for release in ("cell-a", "cell-b", LONG, LONG[:-1] + "x", "1st")
        for one in objects("minimal", release=release)
        if one["kind"] == "ConfigMap"
    ]
    assert len(set(prefixes)) == 5
    assert [prefix for prefix in prefixes if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", prefix)] == []


def test_pods_of_one_release_are_not_those_of_another() -> None:
    ours, theirs = (
        {str(one["spec"]["selector"]) for one in objects("minimal", release=release) if one["kind"] == "Deployment"}
        for release in ("cell-a", "cell-b")
    )
    assert ours & theirs == set()


def test_long_names_stay_within_the_limit_and_apart() -> None:
    found = objects("ha", release=LONG)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert [name for _, name in names if len(name) > 63] == []
    assert len(set(names)) == len(names)


def test_each_pool_has_its_own_dispatcher_and_reconciler() -> None:
    deployments = named(objects("cells"), "Deployment")
    assert set(deployments) == {"ingress", "batches"} | {
        f"{process}-tenants-{cell}" for process in ("steps", "dispatcher", "reconciler") for cell in "ab"
    }
    for name, one in deployments.items():
        pool = [
            each["value"]
            for each in one["spec"]["template"]["spec"]["containers"][0]["env"]
            if each["name"] == "AGENTFLEET_POOL"
        ]
        assert pool == ([name.partition("-")[2]] if "tenants" in name else [])
