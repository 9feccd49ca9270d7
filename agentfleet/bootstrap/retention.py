"""What forgets, and where it stores what it forgets."""

from agentfleet.archive import S3Archive, make_archive
from agentfleet.domain.retention import FOREVER
from agentfleet.engine.archive import Archivist
from agentfleet.engine.prune import Pruner, RunPruner
from agentfleet.settings import Settings
from agentfleet.store.database import Database


def archive(settings: Settings) -> S3Archive | None:
    """The archive that is set; raises ``InvalidInput`` when it cannot be used. It is not asked here."""
    if settings.archive is None:
        return None
    return make_archive(
        settings.archive,
        endpoint_url=settings.archive_endpoint_url,
        region=settings.archive_region,
        path_style=settings.archive_path_style,
        encryption=settings.archive_encryption,
    )


def pruner(settings: Settings, db: Database) -> Pruner:
    """Who forgets small things."""
    keys = settings.keep_request_keys
    return Pruner(db, days=settings.dead_letter_retention, request_keys=None if keys == FOREVER else keys)


def run_pruner(settings: Settings, db: Database) -> RunPruner:
    """Who forgets runs."""
    objects = archive(settings)
    return RunPruner(db, settings.keep(), None if objects is None else Archivist(db, objects))
