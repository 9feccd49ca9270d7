"""New ids."""

import uuid_utils


def new_id() -> str:
    """A UUIDv7 (RFC 9562): ordered by time, so that new rows go to the right edge of every index."""
    return str(uuid_utils.uuid7())
