"""Amazon's event stream, frame by frame."""

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator

import pytest

from agentfleet.provider.eventstream import events

DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüß Gott"}}


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame, as https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html describes it."""
    named = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    named += b"\x04odd!\x04\x00\x00\x00\x07" + b"\x03yes\x00" + b"\x03raw\x06\x00\x02ab"  # an int, a true, some bytes
    prelude = struct.pack(">II", 12 + len(named) + len(payload) + 4, len(named))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return head + struct.pack(">I", zlib.crc32(head))


def chunk(event: object) -> bytes:
    body = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"}
    headers = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
    return frame(headers, json.dumps(body).encode())


async def read(data: bytes, size: int = 1 << 20) -> list[tuple[str, str]]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    return [event async for event in events(pieces())]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_events_are_found_however_the_bytes_arrive(size: int):
    found = await read(chunk(DELTA) + chunk({"type": "message_stop"}), size)
    assert [(name, json.loads(data)) for name, data in found] == [
        ("content_block_delta", DELTA),
        ("message_stop", {"type": "message_stop"}),
    ]


async def test_an_unfinished_frame_at_the_end_is_dropped():
    assert [name for name, _ in await read(chunk(DELTA) + chunk(DELTA)[:-1])] == ["content_block_delta"]


@pytest.mark.parametrize("at", [9, 30, -1])
async def test_a_damaged_frame_is_no_event(at: int):
    data = bytearray(chunk(DELTA))
    data[at] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        await read(bytes(data))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("somethingNew", "somethingNew"),
    ],
)
async def test_an_exception_inside_the_stream_is_an_error_event_in_the_words_of_the_messages_api(code: str, kind: str):
    refusal = frame({":message-type": "exception", ":exception-type": code}, b'{"message": "Slow down"}')
    ((name, data),) = await read(refusal)
    assert name == "error"
    assert json.loads(data)["error"] == {"type": kind, "message": f"{code}: Slow down"}


async def test_an_error_frame_is_an_error_event():
    ((name, data),) = await read(
        frame({":message-type": "error", ":error-code": "InternalError", ":error-message": "Oh"}, b"")
    )
    assert name == "error"
    assert "InternalError: Oh" in data
