"""Whoever dies while a batch is made or its results come home: nothing is lost, and nothing is paid for twice."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

import psycopg
import pytest

from agentfleet import failpoints
from agentfleet.domain.batch import ItemState
from agentfleet.engine import send
from agentfleet.provider.batches import AnthropicBatches, make_batches
from agentfleet.provider.limits import Limits
from tests.integration.batches.conftest import KEY
from tests.integration.batches.stage import RECOVER_AFTER, Stage
from tests.integration.batches.test_lane import fail, slow


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Makes something break, once."""
    yield failpoints.arm
    failpoints.arm(None)


async def restart(stage: Stage) -> None:
    """The process has died, and another one takes its place; it looks for what is in doubt when that is old enough."""
    stage.sender, stage.receiver = stage.new_sender(), stage.new_receiver()
    stage.pass_time(RECOVER_AFTER)


async def finish(stage: Stage) -> None:
    """Serve the lane until all runs have ended."""
    for _ in range(20):
        if set(stage.states()) == {"succeeded"}:
            return
        await stage.through()
    raise AssertionError(f"{stage.states()} {stage.batches()} {stage.items()}")


def paid_once(stage: Stage, runs: int) -> bool:
    return len(stage.paid()) == len(set(stage.paid())) == runs


MOMENTS = [
    ("open_batch.before", psycopg.OperationalError),
    ("open_batch.after", psycopg.OperationalError),
    ("create_batch.before", None),
    ("create_batch.after", None),
    ("record_batch.before", psycopg.OperationalError),
    ("record_batch.after", psycopg.OperationalError),
]


@pytest.mark.parametrize(("moment", "error"), MOMENTS)
async def test_a_sender_that_breaks_at_any_moment_neither_loses_nor_pays_twice(
    stage: Stage, armed: Callable[[str], None], moment: str, error: type[Exception] | None
) -> None:
    await stage.submit(3)
    await stage.work()
    armed(f"{moment}:raise")
    if error is None:
        await stage.sender.run_once()  # an answer that never came
    else:
        with pytest.raises(error):
            await stage.sender.run_once()
    await restart(stage)
    await finish(stage)
    assert paid_once(stage, 3)
    assert stage.calls("messages") == []


@pytest.mark.parametrize(
    "moment", ["store_batch_results.before", "store_batch_results.after", "close_batch.before", "close_batch.after"]
)
async def test_a_receiver_that_breaks_at_any_moment_neither_loses_nor_pays_twice(
    stage: Stage, armed: Callable[[str], None], moment: str
) -> None:
    await stage.submit(3)
    await stage.work()
    await stage.sender.run_once()
    stage.pass_time(60)
    armed(f"{moment}:raise")
    with pytest.raises(psycopg.OperationalError):
        await stage.receiver.run_once()
    await restart(stage)
    await finish(stage)
    assert paid_once(stage, 3)
    assert stage.calls("messages") == []
    assert stage.batches() == ["ended"]


@pytest.mark.parametrize("fault", ["lost_answer", "reset_before_headers", "html_200", "bad_gateway"])
async def test_an_answer_that_was_lost_on_the_way_is_found_out_later(stage: Stage, fault: str) -> None:
    await fail(stage, fault, "batches", times=1)
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    assert stage.batches() == ["sending"]
    await stage.sender.run_once()
    assert stage.batches() == ["sending"], "nobody knows yet, and nothing more is sent"
    stage.pass_time(RECOVER_AFTER)
    await finish(stage)
    assert paid_once(stage, 2)
    assert stage.batches() == (["ended"] if fault == "lost_answer" else ["lost", "ended"])


async def test_a_batch_that_may_be_ours_is_waited_for_before_another_is_made(stage: Stage) -> None:
    await slow(stage)
    await fail(stage, "lost_answer", "batches", times=1)
    await stage.submit(2, deadline=86_400.0)
    await stage.work()
    await stage.sender.run_once()
    stage.pass_time(RECOVER_AFTER)
    await stage.sender.run_once()
    assert stage.batches() == ["sending"], "it is in process, and says nothing of its requests"
    stage.pass_time(5 * 3_600)
    await finish(stage)
    assert paid_once(stage, 2)
    assert stage.batches() == ["ended"]


async def test_batches_of_others_are_left_alone(stage: Stage) -> None:
    """One of the same size, one of another that is still in process; and one with the custom ids of another fleet."""
    others = make_batches("anthropic", base_url=stage.sim.url, api_key=KEY, limits=Limits(connections=2))
    await fail(stage, "reset_before_headers", "batches", times=1)
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    for ids in (["theirs-1", "theirs-2"], ["01a1ff16a4a1710bb1fe1407d092f7f2_0", "01a1ff16a4a1710bb1fe1407d092f7f2_1"]):
        await post(others, ids)
    stage.pass_time(RECOVER_AFTER)
    await slow(stage)
    await post(others, ["theirs-3"])
    await stage.sender.run_once()
    assert stage.batches() == ["lost", "sent"]
    await others.close()


async def post(service: AnthropicBatches, custom_ids: list[str]) -> None:
    """A batch of somebody else, with the same key."""
    params = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    endpoint = service._endpoint("default")
    requests = [{"custom_id": custom_id, "params": params} for custom_id in custom_ids]
    await endpoint.client.messages.batches.create(requests=requests)


async def test_a_sender_that_hangs_gives_up_before_its_batch_is_looked_for(stage: Stage) -> None:
    await fail(stage, "stall_before_headers", "batches", times=1)
    stage.sender = stage.new_sender(recover_after=0.2)
    await stage.submit(1)
    await stage.work()
    await asyncio.wait_for(stage.sender.run_once(), 20)
    assert stage.batches() == ["sending"]
    assert send.HURRY < 1


async def test_two_leaders_at_once_do_no_harm(stage: Stage) -> None:
    await stage.submit(20)
    await stage.work()
    senders = [stage.new_sender() for _ in range(4)]
    await asyncio.gather(*(sender.run_once() for sender in senders))
    stage.pass_time(60)
    receivers = [stage.new_receiver() for _ in range(4)]
    await asyncio.gather(*(receiver.run_once() for receiver in receivers))
    await stage.work()
    assert stage.states() == ["succeeded"] * 20
    assert paid_once(stage, 20)


async def test_a_step_whose_claim_dies_after_its_result_came_uses_it_again(stage: Stage) -> None:
    await stage.submit(1)
    await stage.work()
    await stage.sender.run_once()
    stage.pass_time(60)
    await stage.receiver.run_once()
    stage.query("UPDATE steps SET fence = fence + 1")  # somebody has claimed it, and is gone
    await stage.work()
    assert stage.states() == ["succeeded"]
    assert paid_once(stage, 1)


class Curtailed(AnthropicBatches):
    """Whose results end too early, once, and look whole."""

    whole = False

    async def results(self, account: str, provider_id: str) -> AsyncGenerator[tuple[str, ItemState, str]]:
        async with aclosing(super().results(account, provider_id)) as results:
            async for one in results:
                yield one
                if not self.whole:
                    self.whole = True
                    return


async def test_results_that_are_fewer_than_the_requests_are_read_again(stage: Stage) -> None:
    await stage.submit(3)
    await stage.work()
    await stage.sender.run_once()
    stage.pass_time(60)
    stage.service = Curtailed(stage.service._accounts)
    stage.receiver = stage.new_receiver()
    await stage.receiver.run_once()
    assert (stage.batches(), stage.items()) == (["sent"], ["sending", "sending", "succeeded"])
    await finish(stage)
    assert paid_once(stage, 3)
    assert stage.calls("messages") == []
