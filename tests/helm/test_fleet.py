"""The containers of the manifests, run as processes here: they get ready as their probes ask, and `helm test` succeeds."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from agentfleet.dev.embedded import Urls
from agentfleet.simulator.serve import background
from tests.helm.chart import ROOT, Object, environment, named, objects, pods, thorough

PATIENCE = 200.0


class Container:
    """One container of a pod, with what the cluster would have put around it."""

    def __init__(self, container: Object, around: dict[str, str], port: int, home: Path) -> None:
        given = environment(container, objects("dev"))
        ours = {"AGENTFLEET_HOST": "127.0.0.1", "AGENTFLEET_PORT": str(port), "AGENTFLEET_METRICS_PORT": str(port)}
        self._container, self.url = container, f"http://127.0.0.1:{port}"
        self._env = given | {name: value for name, value in (ours | around).items() if name in given}
        self._env |= {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{home}", "HOME": "/nonexistent"}
        self._command = [sys.executable, *container["command"][1:]]
        self._home = home

    def run(self) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(self._command, env=self._env, cwd=self._home, capture_output=True, text=True, check=False)

    def start(self) -> subprocess.Popen[bytes]:
        """In the background."""
        with (self._home / f"{self._container['name']}.log").open("wb") as log:
            return subprocess.Popen(self._command, env=self._env, cwd=self._home, stdout=log, stderr=log)

    def passes(self, probe: str) -> bool:
        """What kubelet would find."""
        try:
            answer = httpx2.get(self.url + self._container[probe]["httpGet"]["path"])
        except httpx2.TransportError:
            return False
        return answer.status_code == 200


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


@pytest.fixture
def around(database_url: str, server_urls: Urls, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the Secrets and Services of the cluster lead to."""
    source = named(objects("dev"), "ConfigMap")["helm-test"]["data"]
    (tmp_path / "agentfleet_helm_test.py").write_text(source["agentfleet_helm_test.py"])
    with Redis.from_url(server_urls.redis_url) as redis, background() as simulator:
        redis.flushall()
        yield {
            "AGENTFLEET_DATABASE_URL": database_url,
            "AGENTFLEET_REDIS_URL": server_urls.redis_url,
            "AGENTFLEET_PROVIDER_BASE_URL": simulator.url,
            "AGENTFLEET_PROVIDER_API_KEY": "simulator",
        }


@thorough
@pytest.mark.timeout(400)
def test_the_fleet_of_the_manifests_runs_a_run(
    around: dict[str, str], tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    made = {name: template["spec"]["containers"][0] for name, template in pods(objects("dev"))}

    def container(name: str, around: dict[str, str]) -> Container:
        return Container(made[name], around, unused_tcp_port_factory(), tmp_path)

    (job,) = (name for name in made if name.startswith("Job/"))
    migrated = container(job, around).run()
    assert migrated.returncode == 0, migrated.stderr
    names = ("ingress", "steps-default", "dispatcher-default", "reconciler-default", "batches")
    fleet = {name: container(f"Deployment/rel-agentfleet-{name}", around) for name in names}
    with ExitStack() as stack:
        processes = [stack.enter_context(one.start()) for one in fleet.values()]
        for process in processes:
            stack.callback(process.kill)
        for name, one in fleet.items():
            until(lambda one=one: one.passes("readinessProbe"), f"{name} is ready")
            assert one.passes("livenessProbe")
            assert one.passes("startupProbe")
        made_key = [sys.executable, "-m", "agentfleet.cli.main", "keys", "create", "--tenant", "acme", "--name", "test"]
        key = subprocess.run(
            made_key, env=around | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        )
        api = {"AGENTFLEET_API_KEY": key.stdout.strip(), "AGENTFLEET_API_URL": fleet["ingress"].url}
        tested = container("Pod/rel-agentfleet-test", api).run()
        assert tested.returncode == 0, tested.stderr
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE) for process in processes] == [0] * len(processes)
