"""A collector that is away, or hangs, costs spans and nothing else."""

import sys
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest
import structlog
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.typing import EventDict

from agentfleet.domain.errors import InvalidInput
from agentfleet.telemetry import tracing
from agentfleet.telemetry.export import PAUSES, SLOW, PatientExporter
from tests.scripted import until
from tests.tracing import agents
from tests.tracing.conftest import Ran, Tracing
from tests.tracing.sink import Sink


class Collector(SpanExporter):
    """Answers as it is told."""

    def __init__(self) -> None:
        self.answer = SpanExportResult.FAILURE
        self.calls = 0

    def export(self, _spans: Sequence[object]) -> SpanExportResult:
        self.calls += 1
        return self.answer


class Now:
    """A clock that stands."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def patient(collector: Collector, now: Now) -> PatientExporter:
    return PatientExporter(collector, now)


def test_a_collector_that_refuses_is_left_alone_for_longer_and_longer(
    patient: PatientExporter, collector: Collector, now: Now
):
    for pause in (*PAUSES, PAUSES[-1]):
        patient.export([])
        calls = collector.calls
        assert patient.away
        now.seconds += pause - 0.1
        assert patient.export([]) is SpanExportResult.FAILURE
        assert collector.calls == calls
        now.seconds += 0.2
        assert not patient.away


def test_one_warning_says_that_it_is_away_and_one_line_that_it_is_back(
    patient: PatientExporter, collector: Collector, now: Now
):
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            patient.export([None, None])  # pyright: ignore[reportArgumentType]
            now.seconds += 100
        collector.answer = SpanExportResult.SUCCESS
        patient.export([])
        patient.export([])
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("traces_not_sent", "warning"),
        ("traces_sent_again", "info"),
    ]
    assert lines[1]["dropped"] == 8
    assert not patient.away


def test_one_that_does_not_answer_counts_as_away_before_it_has_timed_out(now: Now):
    sent, answered = threading.Event(), threading.Event()

    class Hanging(Collector):
        def export(self, _spans: Sequence[object]) -> SpanExportResult:
            sent.set()
            answered.wait()
            return SpanExportResult.SUCCESS

    patient = PatientExporter(Hanging(), now)
    thread = threading.Thread(target=patient.export, args=([],))
    thread.start()
    sent.wait()
    assert not patient.away
    now.seconds += SLOW + 0.1
    assert patient.away
    answered.set()
    thread.join()
    assert not patient.away


def test_while_one_that_has_failed_is_tried_again_it_counts_as_away(now: Now):
    seen = list[bool]()

    class Watched(Collector):
        def export(self, _spans: Sequence[object]) -> SpanExportResult:
            seen.append(patient.away)
            return self.answer

    patient = PatientExporter(Watched(), now)
    patient.export([])
    now.seconds += PAUSES[0] + 0.1
    assert not patient.away
    patient.export([])
    assert seen == [False, True]


async def test_runs_end_while_the_collector_hangs_and_stopping_does_not_wait_for_it(
    fleet: Ran, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    sink.hold()
    Tracing(sink).start()
    await fleet.run(agents.helper)
    tracing.stop(0.2)
    assert sink.waiting == 1  # not answered to this moment
    assert sink.raw == []


async def test_runs_end_without_a_collector_and_nothing_floods_the_log(
    fleet: Ran, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    sink.refuse = True
    Tracing(sink).start()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await fleet.run(agents.helper)
        await until(has_told(lines), "somebody says that traces are not sent")
        tracing.stop(20)
    assert sink.raw == []
    assert len([line for line in lines if line["event"] == "traces_not_sent"]) == 1
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def has_told(lines: list[EventDict]) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return any(line["event"] == "traces_not_sent" for line in lines)

    return told


def test_without_opentelemetry_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    for module in ("agentfleet.telemetry.recording", "agentfleet.telemetry.export"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidInput, match=r"AGENTFLEET_TRACING.*pip install 'agentfleet\[tracing\]'"):
        tracing.require()
