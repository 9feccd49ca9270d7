"""Events out of Amazon's binary event stream, in which Bedrock answers.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html describes the framing: lengths and
checksums around named headers and a payload. An event's payload carries one event of the Messages API in base64; a
refusal in the middle of an answer is a frame of its own kind. The SDK reads this with botocore, which this spares.
"""

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

_PRELUDE = 12  # length of the frame, length of its headers, checksum of both
_CHECKSUM = 4
_SIZES: Mapping[int, int] = MappingProxyType({0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16})
"""Bytes of a header's value, by type; types 6 and 7 say their length themselves."""
_TEXT = 7

MEANS: Mapping[str, str] = MappingProxyType(
    {
        "internalServerException": "api_error",
        "modelStreamErrorException": "api_error",
        "modelTimeoutException": "timeout_error",
        "serviceUnavailableException": "overloaded_error",
        "throttlingException": "rate_limit_error",
        "validationException": "invalid_request_error",
    }
)
"""Bedrock's words for a broken answer, in those of the Messages API.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
"""


async def events(chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[str, str]]:
    """``(event name, data)`` of every complete frame; raises ``ValueError`` when one is damaged."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        while len(rest) >= _PRELUDE and len(rest) >= (length := int.from_bytes(rest[:4])):
            headers, payload = _open(rest[: _checked(rest, length)])
            rest = rest[length:]
            if (event := _event(headers, payload)) is not None:
                yield event


def _checked(data: bytes, length: int) -> int:
    prelude, checksum = struct.unpack(">I", data[8:12])[0], struct.unpack(">I", data[length - 4 : length])[0]
    if prelude != zlib.crc32(data[:8]) or checksum != zlib.crc32(data[: length - 4]):
        raise ValueError("a frame of the event stream is damaged")
    return length


def _open(frame: bytes) -> tuple[dict[str, str], bytes]:
    """Text headers and payload of one frame."""
    end = _PRELUDE + int.from_bytes(frame[4:8])
    headers: dict[str, str] = {}
    at = _PRELUDE
    while at < end:
        name_end = at + 1 + frame[at]
        name, kind, at = frame[at + 1 : name_end].decode(), frame[name_end], name_end + 1
        if (size := _SIZES.get(kind)) is None:
            size, at = int.from_bytes(frame[at : at + 2]), at + 2
        if kind == _TEXT:
            headers[name] = frame[at : at + size].decode()
        at += size
    return headers, frame[end:-_CHECKSUM]


def _event(headers: Mapping[str, str], payload: bytes) -> tuple[str, str] | None:
    if headers.get(":message-type") != "event":
        code = headers.get(":exception-type") or headers.get(":error-code") or "unknown"
        said = headers.get(":error-message") or _message(payload)
        error = {"type": MEANS.get(code, code), "message": f"{code}: {said}"}
        return "error", json.dumps({"type": "error", "error": error})
    if headers.get(":event-type") != "chunk":
        return None
    data = base64.b64decode(json.loads(payload)["bytes"]).decode()
    return str(json.loads(data)["type"]), data


def _message(payload: bytes) -> str:
    try:
        body: dict[str, Any] = json.loads(payload)
        return str(body.get("message"))
    except (ValueError, AttributeError):
        return payload[:200].decode(errors="replace")
