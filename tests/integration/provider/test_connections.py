"""Whatever is slow is cut off at its own limit, which the error names, and gives its connection back."""

import asyncio
from contextlib import suppress

import pytest

from agentfleet.domain import errors as e
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.provider import connections as seats
from agentfleet.provider import http
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.serve import Running
from agentfleet.telemetry import metrics
from tests.integration.provider.conftest import Connect, Wire
from tests.integration.provider.talk import START, ask, block, end, event, stream
from tests.integration.simulator.talk import eventually


def busy() -> float:
    return metrics.PROVIDER_CONNECTIONS.labels("busy")._value.get()


@pytest.fixture(autouse=True)
def _every_connection_comes_back():
    before = busy()
    yield
    assert busy() == before


async def failure(reasoner: AnthropicReasoner) -> e.ProviderError:
    with pytest.raises(e.ProviderError) as caught:
        await reasoner.reason(ask(), None)
    return caught.value


async def test_a_provider_that_accepts_and_says_nothing_is_cut_off_at_the_first_byte(sim: Running, connect: Connect):
    error = await failure(connect(f"{sim.url}/s/stall_before_headers", first_byte=0.2, idle=60))
    assert classify(error) is Verdict.BACKOFF
    assert "no answer within 0.2 s (AGENTFLEET_PROVIDER_FIRST_BYTE_TIMEOUT)" in str(error)


@pytest.mark.parametrize("fault", ["stall_after_headers", "stream_stall"])
async def test_an_answer_that_stops_is_cut_off_at_the_idle_time(sim: Running, connect: Connect, fault: str):
    error = await failure(connect(f"{sim.url}/s/{fault}", first_byte=60, idle=0.2))
    assert classify(error) is Verdict.BACKOFF
    assert "no byte for 0.2 s (AGENTFLEET_PROVIDER_IDLE_TIMEOUT)" in str(error)


async def test_a_handshake_that_hangs_is_cut_off_at_the_connect_time(wire: Wire, connect: Connect):
    url = (await wire(b"", "open")).replace("http:", "https:")  # it waits for the end of a head, TLS for an answer
    error = await failure(connect(url, connect=0.2, first_byte=60))
    assert classify(error) is Verdict.BACKOFF
    assert "no connection within 0.2 s (AGENTFLEET_PROVIDER_CONNECT_TIMEOUT)" in str(error)


async def test_pings_are_sound_however_long_they_go_on(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    loop, ahead, heard = asyncio.get_running_loop(), 0.0, asyncio.Event()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)

    class Heard(http._Watched):
        async def __aiter__(self):
            async for chunk in super().__aiter__():
                heard.set()
                yield chunk

    monkeypatch.setattr(http, "_Watched", Heard)

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ahead
        await reader.readuntil(b"\r\n\r\n")
        writer.write(stream(START))
        for _ in range(8):
            await heard.wait()
            heard.clear()
            ahead += 30  # seconds in which nothing comes
            writer.write(event("ping").encode())
        writer.write((block(0, {"type": "text", "text": "Hello"}) + end()).encode())
        writer.close()

    async with await asyncio.start_server(ping, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert (await connect(url, idle=60).reason(ask(), None)).turn.text == "Hello"
    assert ahead == 240


@pytest.mark.parametrize("fault", ["overloaded", "server_error_html", "stream_reset", "empty_200", "lost_answer"])
async def test_a_failed_call_gives_its_connection_back(sim: Running, connect: Connect, fault: str):
    reasoner = connect(f"{sim.url}/s/{fault}", connections=1)
    for _ in range(3):
        assert not isinstance(await failure(reasoner), e.ProviderBusy)


async def test_a_cancelled_call_gives_its_connection_back(sim: Running, connect: Connect):
    reasoner = connect(f"{sim.url}/s/stream_stall", connections=1)
    for _ in range(3):
        call = asyncio.create_task(reasoner.reason(ask(), None))
        await eventually(lambda: sim.simulator.log.in_flight > 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: not sim.simulator.log.in_flight)


async def test_a_call_without_a_free_connection_waits_in_postgres_and_costs_no_attempt(
    sim: Running, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seats, "QUEUE_SECONDS", 0.05)
    reasoner = connect(f"{sim.url}/s/stall_after_headers", connections=1)
    first = asyncio.create_task(reasoner.reason(ask(), None))
    await eventually(lambda: sim.simulator.log.in_flight > 0)
    error = await failure(reasoner)
    assert isinstance(error, e.ProviderBusy)
    assert classify(error) is Verdict.RETRY_AT
    assert "AGENTFLEET_PROVIDER_POOL_SIZE=1" in str(error)
    assert sim.simulator.log.most_in_flight == 1, "nothing was sent"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_connection_is_used_again(connect: Connect):
    _, _, body = stream(START, block(0, {"type": "text", "text": "Hello"}), end()).partition(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    accepted: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with suppress(asyncio.IncompleteReadError):  # the client hangs up
            while asked := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                writer.write(head.encode() + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reasoner = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections=2)
        for _ in range(5):
            assert (await reasoner.reason(ask(), None)).turn.text == "Hello"
        assert len(accepted) == 1
        await reasoner.close()
