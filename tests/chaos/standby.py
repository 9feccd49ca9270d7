"""A streaming standby of an embedded Postgres."""

import shutil
from pathlib import Path

from agentfleet.dev.postgres import EmbeddedPostgres


class Standby(EmbeddedPostgres):
    """Follows the server at ``url``; ``SELECT pg_promote()`` makes it a primary."""

    def __init__(self, directory: Path, primary: EmbeddedPostgres, url: str) -> None:
        super().__init__(directory, durable=False)
        self._primary, self.url = primary, url

    def _initialise(self, programs: Path) -> None:
        shutil.copy2(self._primary._password, self._password)
        if self._account is not None:
            shutil.chown(self.directory.parent, *self._account)
        copy = [programs / "pg_basebackup", "-D", self.directory, "-d", self.url, "--write-recovery-conf"]
        self._run([*copy, "--checkpoint=fast", "--no-sync"])
