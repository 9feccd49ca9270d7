"""A release from its installation to its end, with both Helms, against an API server that runs nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helm.api_server import served
from tests.helm.chart import CHART, CI, HELMS, thorough
from tests.helm.cluster import Cluster
from tests.tooling import program

RELEASE = "agents"
MIGRATE, POST, TEST = (f"{RELEASE}-agentfleet-{name}" for name in ("migrate", "migrate-post", "test"))


class Operator:
    """Somebody with Helm, kubectl and a cluster."""

    def __init__(self, cluster: Cluster, using: str, home: Path, database_url: str) -> None:
        self.cluster, self._using = cluster, using
        config = home / "kubeconfig"
        config.write_text(
            f"apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters: [{{name: fake, cluster: {{server: {cluster.url}}}}}]\n"
            "contexts: [{name: fake, context: {cluster: fake, user: me}}]\nusers: [{name: me, user: {}}]\n"
        )
        folders = {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        self._env = os.environ | folders | {
            "HOME": str(home), "KUBECONFIG": str(config), "HELM_DRIVER": "sql", "HELM_DRIVER_SQL_CONNECTION_STRING": f"{database_url}?sslmode=disable",
        }  # fmt: skip

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints."""
        return self._run("kubectl", *arguments)

    def helm(self, verb: str, *arguments: str) -> list[tuple[str, str, str]]:
        """Run Helm, and return what it wrote, in its order."""
        begun = len(self.cluster.log)
        told = ["--namespace", "agents", *(["--timeout", "20s"] if verb != "history" else [])]
        # A server that runs nothing cannot merge on its side, either.
        told += ["--server-side=false"] if self._using == "helm" and verb in {"install", "upgrade", "rollback"} else []
        self._run(self._using, verb, *arguments, *told)
        return self.cluster.log[begun:]

    def names(self, *kinds: str) -> set[str]:
        """What is in the cluster."""
        return {name for plural, name in self.cluster.objects if not kinds or plural in kinds}

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run([program(name), *arguments], env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(params=[HELMS[0], pytest.param(HELMS[1], marks=thorough)])
def operator(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Operator]:
    with served() as cluster:
        yield Operator(cluster, request.param, tmp_path, database_url)


def given(case: str, *settings: str) -> list[str]:
    told = [*settings, "monitoring.dashboards=false"]  # they are long
    return [RELEASE, str(CHART), "--values", str(CI[case]), *(part for one in told for part in ("--set", one))]


def image(operator: Operator, deployment: str) -> str:
    found = operator.cluster.objects["deployments", f"{RELEASE}-agentfleet-{deployment}"]
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_a_release_lives_and_leaves_nothing_behind(operator: Operator) -> None:
    log = operator.helm("install", *given("ha", "image.digest="))
    assert log[:2] == [("create", "NetworkPolicy", MIGRATE), ("create", "Job", MIGRATE)]
    assert {entry for entry in log if entry[0] == "delete"} == {
        ("delete", "Job", MIGRATE),
        ("delete", "NetworkPolicy", MIGRATE),
    }
    assert log.index(("delete", "Job", MIGRATE)) < min(
        index for index, (_, kind, _) in enumerate(log) if kind == "Deployment"
    )
    installed = operator.names()
    assert f"deployment.apps/{RELEASE}-agentfleet-steps-bulk" in operator.kubectl(
        "get", "deployments", "-n", "agents", "-o", "name"
    )
    assert image(operator, "ingress").endswith(":0.1.0")

    log = operator.helm("test", RELEASE)
    assert log == [("create", "Pod", TEST), ("delete", "Pod", TEST)]

    log = operator.helm("upgrade", *given("ha", "image.digest=", "image.tag=next", "migrations.post=true"))
    written = [index for index, (_, kind, _) in enumerate(log) if kind == "Deployment"]
    assert log.index(("create", "Job", MIGRATE)) < min(written)
    assert log.index(("create", "Job", POST)) > max(written)
    assert {image(operator, name) for name in ("ingress", "steps-bulk", "dispatcher-default")} == {
        "registry.example/agents:next"
    }
    assert operator.names() == installed

    log = operator.helm("rollback", RELEASE, "1")
    assert "Job" not in {kind for _, kind, _ in log}, "the schema of the newer version serves the older one"
    assert image(operator, "ingress").endswith(":0.1.0")
    assert operator.names() == installed

    operator.helm("uninstall", RELEASE)
    assert operator.names() == set()


@thorough
def test_a_migration_that_fails_stops_the_upgrade_and_keeps_its_log(operator: Operator) -> None:
    operator.cluster.failing = True
    with pytest.raises(AssertionError, match="failed"):
        operator.helm("install", *given("minimal"))
    assert operator.names("deployments") == set()
    assert operator.names("jobs") == {MIGRATE}
    operator.cluster.failing = False
    operator.helm("upgrade", "--install", *given("minimal"))
    assert (operator.names("jobs"), len(operator.names("deployments"))) == (set(), 5)


@thorough
def test_without_hooks_each_revision_has_its_job(operator: Operator) -> None:
    names = []
    for verb, tag in (("install", "a"), ("upgrade", "a"), ("upgrade", "b")):
        operator.helm(verb, *given("argocd", f"image.tag={tag}"))
        (name,) = operator.names("jobs")
        names.append(name)
    assert len(set(names)) == 3
    operator.helm("uninstall", RELEASE)
    assert operator.names() == set()


@thorough
def test_two_cells_live_in_one_namespace(operator: Operator) -> None:
    operator.helm("install", *given("cells"))
    first = operator.names()
    operator.helm("install", "cell-b", *given("cells")[1:])
    operator.helm("uninstall", "cell-b")
    assert operator.names() == first
