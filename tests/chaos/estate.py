"""A fleet on a Postgres of its own, behind a link: for tests after which a server is not what it was."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentfleet import bootstrap
from agentfleet.dev.embedded import Urls
from agentfleet.dev.postgres import EmbeddedPostgres
from agentfleet.settings import Settings
from agentfleet.store import migrate
from tests.acceptance.fleet import Fleet, Ground, until
from tests.chaos.link import Link

PREFIX = "estate"


class LinkedGround(Ground):
    """Its processes reach Postgres over ``link``; the test, at ``database_url``, directly."""

    def __init__(self, urls: Urls, over: Ground, directory: Path, link: Link, window: int) -> None:
        super().__init__(urls, over.simulator, directory)
        self.link, self._window = link, window

    def environment(self, **settings: object) -> dict[str, str]:
        ours = {"database_url": self.link.url, "redis_prefix": PREFIX, "dispatch_window": self._window}
        return super().environment(**{**ours, **settings})


@dataclass
class Estate:
    """What a test breaks. ``directory`` is open to the account that Postgres runs as."""

    fleet: Fleet
    postgres: EmbeddedPostgres
    link: Link
    directory: Path
    more: ExitStack
    """For whatever else has to end after the fleet."""

    @property
    def url(self) -> str:
        """Of the server itself."""
        return self.fleet.ground.database_url

    async def kill_postgres(self) -> None:
        """SIGKILL."""
        assert self.postgres.pid is not None
        os.kill(self.postgres.pid, signal.SIGKILL)
        await until(lambda: self.postgres.pid is None, "Postgres is dead")

    def moved_to(self, url: str) -> None:
        """From now on the fleet's database is there."""
        self.link.retarget(url)
        self.fleet.ground.database_url = url


@asynccontextmanager
async def estate(
    ground: Ground, directory: Path, home: Path | None = None, *, window: int = 1_000
) -> AsyncIterator[Estate]:
    """Postgres (below ``home``), dispatcher and reconciler of its own; Redis and simulator are the ground's."""
    own = Path(tempfile.mkdtemp(prefix="agentfleet-estate-"))
    os.chmod(own, 0o755)  # noqa: PTH101, S103  # the account of Postgres enters it; nothing to wait for
    postgres = EmbeddedPostgres(home or own, durable=False)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, own)
        stack.callback(postgres.stop)
        url = postgres.start()
        migrate.upgrade(url)
        ground.simulator.simulator.reset()
        with Link(url) as link:
            urls = Urls(url, ground.redis_url, (), {"postgres": postgres, "redis": ground.redis})
            made = LinkedGround(urls, ground, directory, link, window)
            made.start_duties()
            settings = Settings(
                database_url=link.url, redis_url=ground.redis_url, redis_prefix=PREFIX, dispatch_window=window
            )
            async with bootstrap.ingress(settings) as ingress:
                fleet = Fleet(made, ingress, directory)
                stack.callback(made.stop)
                yield Estate(fleet, postgres, link, own, stack)
                fleet.close()
