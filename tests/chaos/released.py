"""The code of earlier releases, for the migrations after them. ``python -m scripts.release_snapshot`` keeps it."""

import atexit
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from agentfleet.store.migrate import phases
from tests.zygote import ROOT

RELEASES = Path(__file__).with_name("releases")


def code_during(revision: str) -> Path:
    """The code that runs while this migration is made.

    ``pre``: that of the last release before it. ``post``: the first release that has it, or this checkout.
    """
    kept = sorted(archive.stem for archive in RELEASES.glob("*.zip"))
    if phases()[revision] == "pre":
        before = [newest for newest in kept if newest < revision]
        assert before, f"no release before {revision} is kept: see scripts/release_snapshot.py"
        return _unpacked(before[-1])
    with_it = [newest for newest in kept if newest >= revision]
    return _unpacked(with_it[0]) if with_it else ROOT


@cache
def _unpacked(release: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix=f"agentfleet-{release}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with zipfile.ZipFile(RELEASES / f"{release}.zip") as archive:
        archive.extractall(directory)
    return directory
