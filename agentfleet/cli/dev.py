"""`agentfleet dev`: the whole stack for your own agents, until Ctrl-C."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentfleet.cli.terminal import Talker
    from agentfleet.dev.stack import Stack

PORT = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port of the API; 0: a free one. [8080, or a free one when it is taken]",
)
MOST_WORKERS = 64
WORKERS = click.option(
    "--workers", type=click.IntRange(1, MOST_WORKERS), default=2, show_default=True, help="Step workers."
)
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".agentfleet"),
    show_default=True,
    help="Where data, logs and the key are.",
)
INTERRUPTED = 130


@click.command()
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@PORT
@WORKERS
@DATA_DIR
@click.option(
    "--autoscale", is_flag=True, help="Start and drain step workers as the autoscaler says; --workers are kept."
)
@click.option(
    "--max-workers", type=click.IntRange(1, MOST_WORKERS), default=8, show_default=True, help="Most, with --autoscale."
)
@click.option("--print-env", is_flag=True, help="Once ready, print addresses, key and process ids as one line of JSON.")
@click.option("--no-demo", is_flag=True, help="Do not run the demo's job. `dev` never does; `agentfleet demo` does.")
@click.pass_context
def dev(
    ctx: click.Context,
    *,
    modules: tuple[str, ...],
    port: int | None,
    workers: int,
    data_dir: Path,
    autoscale: bool,
    max_workers: int,
    print_env: bool,
    **_no_demo: bool,
) -> None:
    """Run the whole stack for the agents in MODULE (package.module), until Ctrl-C.

    Postgres and Redis come along unless AGENTFLEET_DATABASE_URL and AGENTFLEET_REDIS_URL name yours. Without an
    ANTHROPIC_API_KEY a simulator answers in Claude's place. Without MODULE: the demo's agents.
    """
    if autoscale and max_workers < workers:
        raise click.UsageError(f"--max-workers {max_workers} is less than --workers {workers}, which are kept.")

    import json

    from agentfleet.cli.terminal import Talker, console, sigterm_is_ctrl_c
    from agentfleet.dev.programs import StackOptions
    from agentfleet.dev.stack import Stack

    talker, begun = Talker(console(stderr=print_env)), time.monotonic()
    most = max_workers if autoscale else None
    options = StackOptions(modules=modules, port=port, workers=workers, data_dir=data_dir, max_workers=most)
    ready = False
    try:
        with sigterm_is_ctrl_c(), Stack(options, talker) as stack:
            talker.say(f"Ready after {time.monotonic() - begun:.1f} s. Ctrl-C stops everything.\n")
            introduce(stack, talker)
            if print_env:
                click.echo(json.dumps(stack.env.document(stack.pids())))
            ready = True
            stay(stack, talker, autoscale=autoscale)
    except KeyboardInterrupt:
        talker.say("Stopped.")
        ctx.exit(0 if ready else INTERRUPTED)


def introduce(stack: "Stack", talker: "Talker") -> None:
    """Say where everything is."""
    env = stack.env
    lines = {
        "API": f"{env.api_url}/docs",
        "API key": env.api_key,
        "Internal": f"{env.internal_token}  (the token of {env.api_url}/internal/autoscale and expectations)",
        "Flower": env.flower_url,
        "Simulator": env.simulator_url and f"{env.simulator_url}  (no ANTHROPIC_API_KEY: it answers in Claude's place)",
        "Postgres": env.database_url,
        "Redis": env.redis_url,
        "Metrics": f"{stack.metrics_targets}  (for Prometheus' file_sd_configs)",
        "Logs": str(stack.logs),
    }
    for name, value in lines.items():
        if value:
            talker.say(f"  {name:<10} {value}")


def stay(stack: "Stack", talker: "Talker", *, autoscale: bool = False) -> None:
    """Keep the stack alive, and as large as it should be, until KeyboardInterrupt."""
    from agentfleet.cli.terminal import LOOK, tend
    from agentfleet.dev.scaler import Scaler

    env = stack.env
    scaler = Scaler(stack, env.api_url, env.internal_token, talker.say, pool=stack.settings.pool) if autoscale else None
    while True:
        tend(stack, talker)
        if scaler is not None:
            scaler.look()
        time.sleep(LOOK)
