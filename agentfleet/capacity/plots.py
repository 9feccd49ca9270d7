"""A simulation as pictures: queue age, replicas, cost, 429s."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agentfleet.capacity.extras import library
from agentfleet.capacity.timeline import Sample

COLOURS = ("#0b6e99", "#c4552d", "#6b8f3a", "#7a5195")
LIMIT = "#b00020"
MOST_POINTS = 2_000

Paint = Callable[[Any, Mapping[str, Sequence[Sample]]], None]
"""Onto axes of matplotlib."""


def draw(title: str, runs: Mapping[str, Sequence[Sample]], directory: Path, price: float) -> list[Path]:
    """One PNG per picture; ``runs`` by the scaler's name, ours first; ``price`` of a pod-hour in US dollars.

    Raises ``InvalidInput`` without matplotlib, ``OSError`` when the directory cannot be written.
    """
    matplotlib = library("matplotlib")
    matplotlib.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    pictures: tuple[tuple[str, str, Paint], ...] = (
        ("queue_age", "oldest ready step, seconds", _queue_age),
        ("replicas", "pods", _replicas),
        ("cost", "US dollars so far", partial(_cost, price=price)),
        ("429s", "calls refused so far", _refused),
    )
    return [_save(title, name, unit, paint, runs, directory) for name, unit, paint in pictures]


def _save(
    title: str, name: str, unit: str, paint: Paint, runs: Mapping[str, Sequence[Sample]], directory: Path
) -> Path:
    figure, axes = library("matplotlib.pyplot").subplots(figsize=(9, 3.6), layout="constrained")
    paint(axes, {label: _thinned(samples) for label, samples in runs.items()})
    axes.set(title=f"{title}: {name.replace('_', ' ')}", xlabel="minutes", ylabel=unit)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    path = directory / f"{name}.png"
    figure.savefig(path, dpi=130)
    library("matplotlib.pyplot").close(figure)
    return path


def _thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    return samples[:: max(len(samples) // MOST_POINTS, 1)]


def _minutes(samples: Sequence[Sample]) -> list[float]:
    return [sample.at / 60 for sample in samples]


def _queue_age(axes: Any, runs: Mapping[str, Sequence[Sample]]) -> None:
    for colour, (label, samples) in zip(COLOURS, runs.items(), strict=False):
        axes.plot(_minutes(samples), [sample.oldest_ready for sample in samples], color=colour, label=label)
    axes.axhline(10, color=LIMIT, linestyle=":", label="gate: 10 s (p95)")


def _replicas(axes: Any, runs: Mapping[str, Sequence[Sample]]) -> None:
    first = next(iter(runs.values()))
    axes.plot(_minutes(first), [sample.demand for sample in first], color="#999999", label="demand, in pods")
    axes.step(_minutes(first), [sample.desired for sample in first], color=COLOURS[0], linestyle="--", label="desired")
    for colour, (label, samples) in zip(COLOURS, runs.items(), strict=False):
        axes.step(_minutes(samples), [sample.serving for sample in samples], color=colour, label=f"{label}: serving")
    if first and first[0].cap is not None:
        axes.plot(_minutes(first), [sample.cap for sample in first], color=LIMIT, linestyle=":", label="provider cap")


def _cost(axes: Any, runs: Mapping[str, Sequence[Sample]], price: float) -> None:
    for colour, (label, samples) in zip(COLOURS, runs.items(), strict=False):
        step = samples[1].at - samples[0].at if len(samples) > 1 else 1.0
        spent, total = list[float](), 0.0
        for sample in samples:
            total += sample.paid * price * step / 3600
            spent.append(total)
        axes.plot(_minutes(samples), spent, color=colour, label=label)


def _refused(axes: Any, runs: Mapping[str, Sequence[Sample]]) -> None:
    for colour, (label, samples) in zip(COLOURS, runs.items(), strict=False):
        axes.plot(_minutes(samples), [sample.refused for sample in samples], color=colour, label=label)
