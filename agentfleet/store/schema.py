"""What the tables are made of."""

from collections.abc import Sequence

from sqlalchemy import Column, ForeignKey, MetaData, Uuid, text

metadata = MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(column_0_label)s",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)

NOW = text("agentfleet_now()")


def one_of(column: str, values: Sequence[str]) -> str:
    """For a CHECK: the column has one of these values."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def run_id(*, primary: bool = False) -> Column[object]:
    """What belongs to a run goes with it."""
    return Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, primary_key=primary)
