"""What a failpoint does when it is armed, and that it does nothing otherwise."""

import pytest

from agentfleet import bootstrap, failpoints
from agentfleet.api import app as api
from agentfleet.broker import app as broker
from agentfleet.domain.errors import InvalidInput
from agentfleet.store import statements
from agentfleet.store.statements import Statement


class Lost(Exception): ...


@pytest.fixture
def point():
    yield failpoints.declare("test_only", Lost)
    failpoints.POINTS.pop("test_only")


async def passed(point: failpoints.Failpoint, times: int) -> list[str]:
    """What became of so many passes."""
    seen = []

    async def work() -> None:
        seen.append("done")

    for _ in range(times):
        try:
            await point.around(work)
        except Lost:
            seen.append("lost")
    return seen


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        (None, ["done", "done"]),
        ("", ["done", "done"]),
        ("test_only.before:raise", ["lost", "done"]),
        ("test_only.after:raise", ["done", "lost", "done"]),
        ("test_only.before:raise@2", ["done", "lost"]),
        ("test_only.before:dup", ["done", "done", "done"]),
        ("test_only.after:dup@2", ["done", "done", "done"]),
        ("test_only.before:raise, test_only.after:raise@1", ["lost", "done", "lost"]),
        ("publish.before:raise", ["done", "done"]),
    ],
)
async def test_it_breaks_as_told_and_once(point, spec, seen):
    failpoints.arm(spec)
    assert await passed(point, 2) == seen
    failpoints.arm(None)
    assert await passed(point, 1) == ["done"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("settle", "is not NAME"),
        ("settle_steps.after:explode", "is not NAME"),
        ("settle_steps.after:kill@0", "is not NAME"),
        ("nothing.after:kill", "there is no failpoint 'nothing'"),
        ("receive.before:dup", "'dup' does not apply to 'receive'"),
        ("acknowledge.before:raise", "'raise' does not apply to 'acknowledge'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(spec, problem):
    with pytest.raises(InvalidInput, match=problem) as caught:
        failpoints.arm(spec)
    assert caught.value.field == "AGENTFLEET_FAILPOINT"


def test_every_hot_statement_and_every_crossing_is_a_failpoint():
    assert all((api, bootstrap, broker))  # they import everything that declares one
    hot = {name.lower() for name, value in vars(statements).items() if isinstance(value, Statement)}
    others = {
        "acknowledge",
        "archive",
        "create_batch",
        "publish",
        "read_events",
        "read_runs",
        "reason",
        "receive",
        "stream",
        "tool",
        "wake",
    }
    assert hot | others == failpoints.POINTS.keys() - {"some"}
