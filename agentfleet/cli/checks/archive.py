"""The archive: there, and open to us."""

import asyncio
from collections.abc import Iterator

from agentfleet.bootstrap.retention import archive
from agentfleet.cli.checks.finding import Finding, fail, ok
from agentfleet.domain.errors import ArchiveFailed, InvalidInput
from agentfleet.domain.retention import FOREVER, in_words
from agentfleet.settings import Settings


def check_archive(settings: Settings) -> Iterator[Finding]:
    """Whether what is due can be archived; nothing is written."""
    keep = settings.keep()
    shortest = min(keep.runs, keep.run(succeeded=False), keep.details)
    try:
        objects = archive(settings)
    except InvalidInput as error:
        yield fail("archive", str(error), "mend it; the reconciler does not start with it")
        return
    if objects is None:
        says = (
            "runs are kept for ever"
            if shortest == FOREVER
            else f"none: after {in_words(shortest)} deletion is for good"
        )
        yield ok("archive", says)
        return
    try:
        asyncio.run(objects.check())
    except ArchiveFailed as error:
        do = (
            "make the bucket, or mend AGENTFLEET_ARCHIVE and the credentials; until then nothing that is due is deleted"
        )
        yield fail("archive", f"{objects.name}: {error}", do)
        return
    yield ok("archive", f"{objects.name} is there")
