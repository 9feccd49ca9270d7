"""A file system that can be full: a small tmpfs where one may be mounted, which takes root. Everywhere else the tables
refuse to grow with the server's own error: as real for everybody but the server.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.factories import execute

SIZE = "200m"
REFUSE = """
CREATE FUNCTION test_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER test_full BEFORE INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION test_full();
CREATE TRIGGER test_full BEFORE INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION test_full();
"""
GROW = "DROP FUNCTION test_full CASCADE"


class Disk:
    """``directory`` is on it, ``None`` when there is none."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def fill(self, database_url: str) -> None:
        """Not a byte is left, but what the tables have in reserve: they are packed first."""
        if self.directory is None:
            execute(database_url, REFUSE)
            return
        chunk = bytes(4096)
        with (self.directory / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(chunk):
                    pass
            except OSError:
                pass

    def free(self, database_url: str) -> None:
        """There is room again."""
        if self.directory is None:
            execute(database_url, GROW)
        else:
            (self.directory / "ballast").unlink()


@contextmanager
def disk() -> Iterator[Disk]:
    """A small disk."""
    with ExitStack() as stack:
        path = Path(tempfile.mkdtemp(prefix="agentfleet-disk-"))
        stack.callback(shutil.rmtree, path)
        mounted = os.geteuid() == 0 and not subprocess.call(
            ["/bin/mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", path], stderr=subprocess.DEVNULL
        )
        if mounted:
            stack.callback(subprocess.check_call, ["/bin/umount", "--lazy", path])
        yield Disk(path if mounted else None)
