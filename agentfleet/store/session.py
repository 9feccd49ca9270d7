"""What statements run under where the session is not ours to set: a pooler gives it to others between transactions.

Every transaction then sets all of it for itself (``SET LOCAL``), the role included, so nothing leaks to whoever has the
session next.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, event

SET_LOCAL = b"SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS given (name, value)"
"""Names and values, as arrays. One statement for all: through a pooler it is prepared anew every time."""
SAME_FOR_SQLALCHEMY = SET_LOCAL.decode().replace("$1", "%s").replace("$2", "%s")


def set_at_begin(engine: Engine, settings: Mapping[str, str], *, always: bool = False) -> None:
    """Set ``settings`` in every transaction of a connection that is ``pooled``, or of any."""
    values = (list(settings), list(settings.values()))

    def begin(connection: Connection) -> None:
        if always or getattr(connection.connection.driver_connection, "pooled", False):
            connection.exec_driver_sql(SAME_FOR_SQLALCHEMY, values)

    event.listen(engine, "begin", begin)
