import json

import pytest
from click.testing import CliRunner

from agentfleet.cli.main import main

SMALL = ["capacity", "simulate", "--rate", "2", "--duration", "240", "--concurrency", "50"]


def invoke(*args):
    return CliRunner().invoke(main, list(args))


def test_the_last_line_of_a_simulation_has_its_figures_and_verdicts():
    result = invoke(*SMALL, "--scenario", "spike10x", "--compare", "hpa", "--json")
    found = json.loads(result.output.splitlines()[-1])
    assert found["scenario"] == "spike10x"
    assert {
        "p95_ready_age_s",
        "max_seconds_above_provider_cap",
        "direction_changes_per_10min",
        "interrupted_fraction",
    } <= found.keys()
    assert found["gates"].keys() == {"p95_ready_age", "provider_cap", "direction_changes", "interrupted"}
    assert result.exit_code == (not all(found["gates"].values()))
    assert found["compared"]["hpa"]["steps"] == found["steps"]


def test_a_gate_that_fails_ends_with_one():
    result = invoke(*SMALL, "--scenario", "spike10x", "--max-workers", "1", "--min-workers", "1")
    assert result.exit_code == 1
    assert "FAILS" in result.output


def test_recorded_arrivals_are_played(tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text("at,steps\n2026-11-21T20:00:00Z,40\n2026-11-21T20:00:30Z,20\n2026-11-21T20:01:00Z,0\n")
    result = invoke("capacity", "simulate", "--arrivals", str(path), "--json")
    found = json.loads(result.output.splitlines()[-1])
    assert (found["scenario"], found["steps"]) == ("recorded", 60)


def test_pictures_are_written(tmp_path):
    result = invoke(*SMALL, "--scenario", "steady", "--plot", str(tmp_path / "out"))
    assert result.exit_code in (0, 1), result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "queue_age.png",
        "replicas.png",
        "cost.png",
        "429s.png",
    }


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--scenario", "recorded"], "needs --arrivals FILE"),
        (["--scenario", "steady", "--arrivals", "x.csv"], "--arrivals is of the scenario `recorded`"),
        (["--arrivals", "missing.csv"], "missing.csv cannot be read"),
        (["--arrivals", "x.csv", "--rate", "3"], "leave one out"),
        (["--min-workers", "60"], "min_workers"),
    ],
)
def test_what_does_not_go_together_is_told(args, told):
    result = invoke("capacity", "simulate", *args)
    assert result.exit_code in (1, 2)
    assert told in result.output


def test_a_recording_that_cannot_be_read_is_told_with_its_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("at,steps\nnoon,3\n")
    result = invoke("capacity", "simulate", "--arrivals", str(path))
    assert result.exit_code == 1
    assert "line 2: at: 'noon'" in result.output
    assert "Traceback" not in result.output


def test_a_plan_has_a_column_for_each_rate():
    result = invoke("capacity", "plan")
    assert result.exit_code == 0, result.output
    assert all(rate in result.output.splitlines()[0] for rate in ("1,000", "10,000", "100,000"))
    assert "extrapolation" in result.output


def test_a_plan_as_json_has_what_was_asked_and_measured():
    result = invoke("capacity", "plan", "--rps", "50", "--steps-per-run", "11", "--tokens", "5000", "700", "--json")
    found = json.loads(result.output)
    assert found["plans"][0]["steps_per_s"] == 550
    assert found["asked"]["tokens_in"] == 5_000
    assert found["measured"]["worker_cpu_ms"] > 0


def test_a_model_without_a_price_is_told():
    result = invoke("capacity", "plan", "--model", "gpt")
    assert result.exit_code == 2
    assert "no known price" in result.output


@pytest.mark.parametrize(
    "asked",
    [
        "plan --rps nan",
        "plan --rps inf",
        "plan --step-seconds nan",
        "plan --tokens inf 5",
        "plan --cached nan",
        "plan --steps-per-run 1000000000000000000000",
        "simulate --duration nan",
        "simulate --duration inf",
        "simulate --rate 1e9",
        "simulate --headroom nan",
        "simulate --max-workers 99999999999",
        "record --since 2000000d",
    ],
)
def test_numbers_that_nothing_can_be_reckoned_with_are_refused(asked):
    result = invoke("capacity", *asked.split())
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert asked.split()[1] in result.output
