"""`agentfleet doctor`: is this deployment fit to run, and what is to be done?"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentfleet.cli.checks.finding import Finding
    from agentfleet.settings import Settings

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check settings, servers, schema, clocks, agents, limits and traces, and say what to do.

    Exit code 1 when something fails.

    Without AGENTFLEET_DATABASE_URL and AGENTFLEET_REDIS_URL the servers of the `agentfleet dev` in this directory.
    """
    findings = list(examine())
    healthy = all(finding.level != "fail" for finding in findings)
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps({"ok": healthy, "findings": [asdict(finding) for finding in findings]}))
    else:
        show(findings)
    ctx.exit(0 if healthy else 1)


def examine() -> "Iterator[Finding]":
    """Every finding, settings first."""
    from pydantic import ValidationError

    from agentfleet.cli.checks.finding import fail, ok
    from agentfleet.cli.problems import invalid_settings
    from agentfleet.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        yield fail("settings", "; ".join(invalid_settings(error)), "mend these variables; nothing starts with them")
        return
    yield ok("settings", "valid")
    from agentfleet.cli.checks.archive import check_archive
    from agentfleet.cli.checks.database import check_database
    from agentfleet.cli.checks.host import check_agents, check_open_files, check_provider
    from agentfleet.cli.checks.redis import check_redis
    from agentfleet.cli.checks.tracing import check_tracing

    settings = of_the_stack(settings)
    host = (check_agents, check_provider, check_open_files)
    for check in (check_database, check_redis, *host, check_archive, check_tracing):
        yield from check(settings)


def of_the_stack(settings: "Settings") -> "Settings":
    """The settings, completed by what `agentfleet dev` told its processes."""
    from pydantic import SecretStr

    from agentfleet.cli.connect import DATA_DIR
    from agentfleet.dev.env import StackEnv
    from agentfleet.dev.programs import SIMULATOR_KEY

    stack = StackEnv.load(DATA_DIR)
    if stack is None or (settings.database_url and settings.redis_url):
        return settings
    told: dict[str, object] = {
        "database_url": settings.database_url or stack.database_url,
        "redis_url": settings.redis_url or stack.redis_url,
    }
    if not settings.agents and stack.agents:
        told["agents"] = tuple(stack.agents.split(","))
    if settings.provider_api_key is None and stack.simulator_url is not None:
        told |= {"provider_base_url": stack.simulator_url, "provider_api_key": SecretStr(SIMULATOR_KEY)}
    return settings.model_copy(update=told)


def show(findings: "Sequence[Finding]") -> None:
    """Print a line for each, and under it what to do."""
    for finding in findings:
        mark = click.style(f"{finding.level:<4}", fg=COLORS[finding.level])
        click.echo(f"{mark}  {finding.check}: {finding.says}")
        if finding.do:
            click.echo(f"      -> {finding.do}")
