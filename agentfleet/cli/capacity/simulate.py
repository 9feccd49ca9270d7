"""`agentfleet capacity simulate`: play a load against the scaler, and judge it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentfleet.cli.capacity.figure import ANY, POSITIVE, Figure

if TYPE_CHECKING:
    from agentfleet.capacity.scenarios import Scenario
    from agentfleet.capacity.simulate import Outcome, Terms

SCENARIOS = ("steady", "spike10x", "spike5x", "announced10x", "diurnal", "provider-bound", "recorded")
OURS = "agentfleet"
LONGEST = 7 * 86_400
"""Seconds to simulate: an hour of a busy fleet takes minutes."""


@click.command(short_help="Play a load against the autoscaler, in a model.")
@click.option(
    "--scenario", type=click.Choice(SCENARIOS), help="The load. [default: spike10x; recorded with --arrivals]"
)
@click.option("--arrivals", type=click.Path(path_type=Path), help="A recording: CSV or JSONL of times and step counts.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all draws: the same seed, the same second.")
@click.option(
    "--duration", type=Figure(0, LONGEST, min_open=True), help="Seconds to simulate. [default: the scenario's]"
)
@click.option(
    "--rate", type=Figure(0, 100_000, min_open=True), help="Steps a second before any spike. [default: the scenario's]"
)
@click.option("--step-seconds", type=POSITIVE, help="Mean time of a step. [default: 6.5]")
@click.option("--provider-rpm", type=POSITIVE, help="Requests a minute that the provider allows.")
@click.option("--provider-itpm", type=POSITIVE, help="Input tokens a minute that the provider allows.")
@click.option("--provider-otpm", type=POSITIVE, help="Output tokens a minute that the provider allows.")
@click.option("--tokens", nargs=2, type=POSITIVE, metavar="IN OUT", help="Tokens of a model call. [default: 3000 500]")
@click.option("--concurrency", type=click.IntRange(1, 20_000), default=500, show_default=True, help="Slots per pod.")
@click.option(
    "--min-workers", type=click.IntRange(0, 10_000), default=2, show_default=True, help="The warm minimum of pods."
)
@click.option("--max-workers", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most pods.")
@click.option("--headroom", type=ANY, help="The share of slots on top. [default: the policy's]")
@click.option("--pod-start", type=ANY, default=20.0, show_default=True, help="Seconds until it is ready.")
@click.option("--pod-cost", type=ANY, default=0.03, show_default=True, help="US dollars per pod-hour.")
@click.option(
    "--compare",
    type=click.Choice(["hpa", "queue"]),
    multiple=True,
    help="Beside it, on the same load: a HorizontalPodAutoscaler on CPU, or KEDA on the queue's length. Repeatable.",
)
@click.option("--plot", type=click.Path(path_type=Path, file_okay=False), help="Write PNGs into this directory.")
@click.option("--json", "as_json", is_flag=True, help="The figures and verdicts as JSON on the last line.")
def simulate(**options: Any) -> None:
    """Play a load against the autoscaler in a model of the cluster and the provider.

    Ends with 1 when a gate fails: 95 % of steps begin within 10 s, never more workers than the provider can answer for
    60 s, at most 2 turns within ten minutes, at most 1 % of steps interrupted by scale-in. See docs/guides/capacity.md.
    """
    from agentfleet.capacity.gates import verdicts
    from agentfleet.cli.capacity.verdict import as_document, show

    scenario = _scenario(options)
    terms = _terms(options)
    outcomes = _play(scenario, terms, options["seed"], options["compare"])
    show(scenario, outcomes)
    if options["plot"]:
        from agentfleet.capacity.plots import draw

        samples = {name: outcome.samples for name, outcome in outcomes.items()}
        for path in draw(scenario.name, samples, options["plot"], terms.pod_price):
            click.echo(f"wrote {path}")
    if options["as_json"]:
        click.echo(as_document(scenario, options["seed"], outcomes))
    if not all(verdicts(outcomes[OURS].figures).values()):
        raise click.exceptions.Exit(1)


def _play(scenario: "Scenario", terms: "Terms", seed: int, compare: tuple[str, ...]) -> "dict[str, Outcome]":
    from agentfleet.capacity import simulate as model
    from agentfleet.capacity.scalers import Cpu, QueueLength, Scaler

    others: dict[str, Scaler] = {"hpa": Cpu(), "queue": QueueLength(terms.policy)}
    scalers: dict[str, Scaler] = {OURS: model.ours(scenario, terms.policy), **{name: others[name] for name in compare}}
    return {name: model.simulate(scenario, scaler, terms, seed) for name, scaler in scalers.items()}


def _terms(options: dict[str, Any]) -> "Terms":
    from agentfleet.capacity.cluster import Cluster
    from agentfleet.capacity.measured import measured
    from agentfleet.capacity.simulate import Terms
    from agentfleet.domain.scaling import ScalePolicy

    headroom = {} if options["headroom"] is None else {"headroom": options["headroom"]}
    policy = ScalePolicy(
        options["concurrency"], min_workers=options["min_workers"], max_workers=options["max_workers"], **headroom
    )
    worker = measured().worker_cpu_ms / 1000
    return Terms(policy, Cluster(pod_start=options["pod_start"]), worker, options["pod_cost"])


def _scenario(options: dict[str, Any]) -> "Scenario":
    from dataclasses import replace

    from agentfleet.capacity.recorded import read
    from agentfleet.capacity.scenarios import named, recorded

    name, path = options["scenario"], options["arrivals"]
    if path is not None and name in (None, "recorded"):
        if options["rate"]:
            raise click.UsageError("--rate says how many steps arrive, and --arrivals does so, too: leave one out.")
        try:
            with path.open(encoding="utf-8") as lines:
                scenario = recorded(read(lines, str(path)), options["duration"])
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{path} cannot be read: {error}", param_hint="--arrivals") from error
    elif path is not None:
        raise click.UsageError(f"--arrivals is of the scenario `recorded`, not of `{name}`.")
    elif name == "recorded":
        raise click.UsageError(
            "The scenario `recorded` needs --arrivals FILE (`agentfleet capacity record` writes one)."
        )
    else:
        scenario = named(name or "spike10x", options["rate"], options["duration"])
    if options["step_seconds"]:
        factor = options["step_seconds"] / scenario.mix.mean
        mix = scenario.mix
        scenario = replace(
            scenario,
            mix=replace(mix, call_seconds=mix.call_seconds * factor, tool_seconds=mix.tool_seconds * factor),
        )
    return _limited(scenario, options)


def _limited(scenario: "Scenario", options: dict[str, Any]) -> "Scenario":
    from dataclasses import replace

    from agentfleet.capacity.bucket import A_CALL, Limits
    from agentfleet.domain.admission import UNLIMITED

    told = [options[f"provider_{axis}"] for axis in ("rpm", "itpm", "otpm")]
    tokens = options["tokens"]
    call = (1.0, *tokens) if tokens else A_CALL if scenario.limits is None else scenario.limits.a_call
    if any(told):
        own = scenario.limits.a_minute if scenario.limits else UNLIMITED
        a, b, c = (limit or default for limit, default in zip(told, own, strict=True))
        return replace(scenario, limits=Limits((a, b, c), call))
    return replace(scenario, limits=Limits(scenario.limits.a_minute, call)) if scenario.limits else scenario
