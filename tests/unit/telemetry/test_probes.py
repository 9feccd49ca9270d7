"""The probes beside the metrics: who is stuck is not ready either, and an unready process says why."""

import httpx2
import pytest

from agentfleet.telemetry import metrics


@pytest.mark.parametrize(
    ("healthy", "why", "live", "ready"),
    [
        (True, None, (200, "ok\n"), (200, "ok\n")),
        (True, "starting", (200, "ok\n"), (503, "starting\n")),
        (True, "draining", (200, "ok\n"), (503, "draining\n")),
        (False, None, (503, "stuck\n"), (503, "stuck\n")),
    ],
)
def test_probes_say_whether_work_can_be_expected_and_why_not(
    unused_tcp_port: int, *, healthy: bool, why: str | None, live: tuple[int, str], ready: tuple[int, str]
) -> None:
    metrics.serve(unused_tcp_port, healthy=lambda: healthy, unready=lambda: why)
    asked = [httpx2.get(f"http://127.0.0.1:{unused_tcp_port}/{probe}") for probe in ("healthz", "readyz")]
    assert [(answer.status_code, answer.text) for answer in asked] == [live, ready]
