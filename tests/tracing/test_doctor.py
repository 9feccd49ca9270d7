"""`agentfleet doctor` on traces."""

import pytest

from agentfleet.cli.checks.finding import Finding
from agentfleet.cli.checks.tracing import check_tracing
from agentfleet.settings import Settings
from tests.tracing.sink import Sink


def finding(**settings: object) -> Finding:
    [one] = check_tracing(Settings.model_validate(settings))
    return one


def test_it_says_that_they_are_off():
    assert finding() == Finding("traces", "ok", "off (AGENTFLEET_TRACING)")


def test_it_says_where_they_go_and_sends_none(sink: Sink):
    assert finding(tracing="otlp") == Finding("traces", "ok", f"go to {sink.url}")
    assert (len(sink.raw), sink.spans) == (1, [])


def test_it_says_when_nobody_takes_them_and_hides_a_password(sink: Sink, monkeypatch: pytest.MonkeyPatch):
    sink.refuse = True
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url.replace("://", "://user:hunter2@"))
    found = finding(tracing="otlp")
    assert (found.level, "nobody takes them" in found.says) == ("warn", True)
    assert "hunter2" not in found.says
