"""Keep the code of this release for later: tests/chaos/releases/<newest schema revision>.zip.

The chaos tests run it against every later migration, because in a deploy the old code works on the new schema. Run it
at every release: python -m scripts.release_snapshot
"""

import zipfile
from pathlib import Path

from agentfleet.store.migrate import revisions

ROOT = Path(__file__).parent.parent
RELEASES = ROOT / "tests" / "chaos" / "releases"
KEPT = ("agentfleet", "migrations", "workers")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the same code gives the same bytes."""


def main(releases: Path = RELEASES) -> Path:
    """Write the archive; its path."""
    archive = releases / f"{revisions()[0]}.zip"
    releases.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for path in sorted(path for folder in KEPT for path in (ROOT / folder).rglob("*") if is_code(path)):
            file.writestr(
                zipfile.ZipInfo(path.relative_to(ROOT).as_posix(), LONG_AGO), path.read_bytes(), zipfile.ZIP_DEFLATED, 9
            )
    return archive


def is_code(path: Path) -> bool:
    """A file that was written by a person."""
    return path.is_file() and "__pycache__" not in path.parts


if __name__ == "__main__":
    print(main().relative_to(ROOT))
