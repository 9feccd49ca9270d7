"""`agentfleet capacity record`: what came to the fleet, for the simulator. Speaks to the database."""

import click

from agentfleet.cli.database import in_database

FEWEST = 10.0
"""Seconds that a row covers, at least."""
FARTHEST = 366 * 86_400.0
"""Seconds back."""


@click.command(short_help="Print as CSV how many steps came when.")
@click.option("--since", default="24h", show_default=True, help="How far back, as in 24h, 90m or 7d.")
@click.option("--every", default="10s", show_default=True, help="What one row covers, from 10s to 1h.")
@click.option("--pool", help="Only this pool's steps.")
def record(*, since: str, every: str, pool: str | None) -> None:
    """Print how many steps came when, as CSV: `agentfleet capacity simulate --arrivals` plays it again."""
    from datetime import timedelta

    from agentfleet.store.recording import arrivals

    back, row = (_seconds(value, name) for value, name in ((since, "--since"), (every, "--every")))
    if back > FARTHEST:
        raise click.BadParameter(f"{since!r} is more than a year (366d)", param_hint="--since")
    if not FEWEST <= row <= 3_600:
        raise click.BadParameter(f"{every!r} is not from 10s to 1h", param_hint="--every")
    found = in_database(lambda db: arrivals(db, since=timedelta(seconds=back), every=timedelta(seconds=row), pool=pool))
    if not found:
        raise click.ClickException(f"No steps came in the last {since}{f' to the pool {pool}' if pool else ''}.")
    click.echo("at,steps")
    for (at, steps), following in zip(found, [*(at for at, _ in found[1:]), None], strict=True):
        click.echo(f"{at.isoformat()},{steps}")
        end = at + timedelta(seconds=row)
        if following is not None and following > end:
            click.echo(f"{end.isoformat()},0")  # else the steps of this row would be spread over the silence after it


def _seconds(value: str, option: str) -> float:
    from agentfleet.domain.durations import parse_duration

    found = parse_duration(value)
    if found is None or found <= 0:
        raise click.BadParameter(f"{value!r} is not a time like 24h, 90m or 7d", param_hint=option)
    return float(found)
