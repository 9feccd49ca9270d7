"""`agentfleet accounts`: who answers the fleet's model calls."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from agentfleet.provider.account import Account
    from agentfleet.provider.admission import Admission
    from agentfleet.settings import Settings

Found = TypeVar("Found")
UNLIMITED = 1e11
"""A minute; more than this is no limit."""


@click.group()
def accounts() -> None:
    """The provider accounts of this fleet (AGENTFLEET_ACCOUNTS): list them and their limits, or resume a parked one."""


@accounts.command("list")
def list_accounts() -> None:
    """Name, platform, organization, share of the runs, and whether it is parked. Keys are masked.

    Accounts of one organization share its limits: several keys of one organization buy nothing.
    """
    from rich.table import Table

    from agentfleet.cli.doctor import of_the_stack
    from agentfleet.cli.terminal import console
    from agentfleet.settings import Settings

    settings = of_the_stack(Settings())
    found = listed(settings)
    organizations = list(dict.fromkeys(account.organization for account in found))
    parked = _of_admission(settings, lambda admission: admission.parked(organizations)) if settings.redis_url else None
    total = sum(account.weight for account in found)
    table = Table("account", "platform", "organization", "weight", "share", "models", "key", "state", box=None)
    for account in found:
        table.add_row(
            account.name,
            account.platform.value,
            account.organization,
            f"{account.weight:g}",
            f"{account.weight / total:.0%}",
            "all" if account.models is None else ", ".join(account.models),
            account.masked_key,
            "unknown: no Redis" if parked is None else "parked" if account.organization in parked else "open",
        )
    console().print(table)


@accounts.command()
@click.argument("organization")
def resume(*, organization: str) -> None:
    """Say that a parked ORGANIZATION works again: what waits for it goes on at once, not at its next probe."""
    from agentfleet.cli.doctor import of_the_stack
    from agentfleet.settings import Settings

    settings = of_the_stack(Settings())
    known = {account.organization for account in listed(settings)}
    if organization not in known:
        says = f"no account is of {organization!r}; organizations: {', '.join(sorted(known))}"
        raise click.BadParameter(says, param_hint="ORGANIZATION")
    if not _of_admission(settings, lambda admission: admission.resume(organization)):
        raise click.ClickException(f"{organization} is not parked.")
    click.echo(f"{organization} is open again.")


@accounts.command()
def buckets() -> None:
    """The provider's limits a minute, as far as they are known, what is there of them now, and who waits.

    A bucket is one organization and one group of models. SHARE is how much of the limits is used while use grows.
    """
    from rich.table import Table

    from agentfleet.cli.doctor import of_the_stack
    from agentfleet.cli.terminal import console
    from agentfleet.settings import Settings

    found = _of_admission(of_the_stack(Settings()), lambda admission: admission.survey())
    if found is None:
        raise click.ClickException("Redis does not answer: see `agentfleet doctor`.")
    table = Table("bucket", "requests", "input tokens", "output tokens", "share", "queue", "state", box=None)
    for bucket in found.buckets:
        axes = zip(bucket.levels, bucket.limits, strict=True)
        levels = [f"{level:,.0f} of {limit:,.0f}" if limit < UNLIMITED else "unlimited" for level, limit in axes]
        parked = found.parked.get(bucket.name.partition("/")[0])
        state = "open" if bucket.known else "assumed"
        if bucket.shut_for > 0:
            state = f"shut for {bucket.shut_for:.0f} s"
        if bucket.probed_for > 0:
            state = f"overloaded, tried one call at a time for {bucket.probed_for:.0f} s"
        if parked is not None:
            state = f"parked, next try in {parked:.0f} s"
        table.add_row(bucket.name, *levels, f"{bucket.share:.0%}", str(bucket.queued), state)
    console().print(table)


def listed(settings: "Settings") -> "Sequence[Account]":
    """The accounts that hold; raises ``InvalidInput`` when one is wrong."""
    from agentfleet.bootstrap import provider_accounts
    from agentfleet.provider.accounts import read_accounts

    if settings.provider != "anthropic":
        raise click.ClickException(f"The provider is {settings.provider}, which has no accounts.")
    key = None if settings.provider_api_key is None else settings.provider_api_key.get_secret_value()
    return provider_accounts(settings) or read_accounts(
        None, base_url=settings.provider_base_url, api_key=key, env=lambda _: None
    )


def _of_admission(settings: "Settings", ask: "Callable[[Admission], Awaitable[Found]]") -> Found:
    """What the fleet's Redis says."""
    import asyncio

    from agentfleet import bootstrap

    async def asking() -> Found:
        redis = bootstrap.redis_client(settings)
        try:
            return await ask(bootstrap.admission(settings, redis))
        finally:
            await redis.aclose()

    return asyncio.run(asking())
