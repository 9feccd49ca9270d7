"""The systemd units: systemd takes them, and what they say about our processes is true."""

import re
import shutil
import socket
import subprocess
from collections import defaultdict
from importlib import util
from pathlib import Path

import pytest

from tests.deploy.kinds import KINDS, ROOT, settings_of
from tests.tooling import program
from workers.announce import announce

UNITS = ROOT / "deploy/systemd"
SERVICES = sorted(UNITS.glob("*.service"))
COMMON = UNITS / "agentfleet-.service.d/common.conf"
PYTHON = "/opt/agentfleet/.venv/bin/python"
GRACE = 30
"""Seconds that systemd waits beyond a drain."""


def read(*files: Path) -> dict[str, list[str]]:
    """Every value of every key, the last file's last."""
    found = defaultdict[str, list[str]](list)
    for file in files:
        for line in file.read_text().splitlines():
            if match := re.match(r"(\w+)=(.*)", line):
                found[match[1]].append(match[2])
    return found


def test_every_kind_of_process_has_a_unit_and_starts_with_the_fleet() -> None:
    modules = {read(file)["ExecStart"][0].split()[2] for file in SERVICES}
    assert modules == KINDS | {"agentfleet.cli.main"}
    assert all(util.find_spec(module) for module in modules)
    [wanted] = read(UNITS / "agentfleet.target")["Wants"]
    started = {name.replace("@default", "@") for name in wanted.split()}
    assert started == {file.name for file in SERVICES} - {"agentfleet-migrate.service", "agentfleet-flower.service"}


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.stem)
def test_what_a_unit_says_holds(file: Path, monkeypatch) -> None:
    found = read(file, COMMON)
    given = dict(pair.split("=", 1) for line in found["Environment"] for pair in line.replace("%i", "default").split())
    settings = settings_of(given, monkeypatch)
    assert float(found["TimeoutStopSec"][-1]) >= settings.drain + GRACE
    assert found["KillSignal"] == ["SIGTERM"]
    if file.stem != "agentfleet-migrate":
        assert (found["Restart"], found["Requires"]) == (["always"], ["agentfleet-migrate.service"])
        assert found["After"][0] == "agentfleet-migrate.service"


def test_systemd_takes_them(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    units = tmp_path / "units"
    shutil.copytree(UNITS, units)
    for service in units.glob("*.service"):
        service.write_text(service.read_text().replace(PYTHON, "/bin/true"))
    names = ["agentfleet.target", *(file.name.replace("@", "@default") for file in SERVICES)]
    said = subprocess.run(
        [analyze, "verify", "--man=no", *names],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in said.stderr.splitlines() if "agentfleet" in line]
    assert (said.returncode, ours) == (0, [])


def test_a_process_tells_its_supervisor_that_it_is_ready(tmp_path, monkeypatch, capsys) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        announce(ready="test")
        assert supervisor.recv(100) == b"READY=1"
    assert capsys.readouterr().out == '{"ready": "test"}\n'
