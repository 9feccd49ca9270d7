from collections.abc import AsyncIterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentfleet.provider.sse import events

STREAM = (
    'event: one\ndata: {"a":"ä🦑"}\n\n'
    ": comment\nevent:two\ndata:x\ndata: y\nid: 3\n\n"
    "data: nameless\n\n"
    "event: empty\n\n"
    "event: three\ndata: z\n\n"
)
EXPECTED = [("one", '{"a":"ä🦑"}'), ("two", "x\ny"), ("three", "z")]


async def collect(data: bytes, cuts: list[int]) -> list[tuple[str, str]]:
    async def chunks() -> AsyncIterator[bytes]:
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, stop in pairwise(edges):
            yield data[start:stop]

    return [event async for event in events(chunks())]


@given(st.lists(st.integers(min_value=0, max_value=10_000)), st.sampled_from(["\n", "\r\n"]))
async def test_events_are_the_same_however_the_bytes_arrive_and_lines_end(cuts: list[int], newline: str):
    assert await collect(STREAM.replace("\n", newline).encode(), cuts) == EXPECTED


async def test_an_unfinished_event_is_dropped():
    assert await collect(STREAM[:-1].encode(), []) == EXPECTED[:-1]
