"""Requests that nobody should send, drawn from a seed, as bytes; and a client that sends bytes."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

SOME_ID = "01a1fdf7-1186-7431-9874-d879db05f52f"
BOMBS = (
    b"[" * 100_000, b'{"a":' * 50_000, b"[" * 500 + b"]" * 500, b'{"a":' * 40 + b"1" + b"}" * 40,
    b"9" * 10_000, b"1e999999", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"-", b"0x10", b"1.", b"00",
    b'"\\u0000"', b'"\x00"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u12"', b'"\xff"', b'"\xed\xa0\x80"', b'"', b"tru",
    b"null", b"true", b"[]", b"{}", b"18446744073709551616", b'"\\uD83D\\uDE00"', b'{"a":1,"a":2}', b'{"":{"":""}}',
    b'{"' + b"k" * 70_000 + b'":1}', b'"' + b"s" * 300_000 + b'"', b"[" + b"1," * 20_000 + b"1]", b"\xef\xbb\xbf{}",
    '{"agent":"chat"}'.encode("utf-16"), '{"agent":"chät"}'.encode("latin-1"), b"", b" ", b"{'a': 1}", b"{,}",
)  # fmt: skip
"""What parsers trip over, as whole bodies and as values in one."""
FIELDS = ("agent", "input", "priority", "metadata", "deadline", "more", "ids", "\\u0000", "__proto__")
AGENTS = (b'"chat"', b'"chat"', b'"chat"', b'"nobody"', b'""', b'"../x"')
HEADERS = ("Idempotency-Key", "Prefer", "traceparent", "X-Request-Id", "If-None-Match", "Last-Event-ID", "Accept", "Range",
           "Content-Type", "Content-Encoding", "Expect", "Origin", "X-HTTP-Method-Override")  # fmt: skip
VALUES = (b"", b"\x01\x02", b"\x7f", b"a" * 5_000, b"\xff\xfe", b'"', b"\t", b"wait=-1", b"wait=1e400", b"wait=NaN", b"wait=", b"*/*",
          b"application/json", b"text/plain", b"application/json; charset=utf-7", b"gzip", b"00-0-0-0", b"bytes=0-", b'W/"x"',
          b"respond-async, wait", b"-1", b"99999999999999999999", b"%00", "é".encode(), b"100-continue; q=x")  # fmt: skip
METHODS = ("POST", "POST", "POST", "GET", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FROB")
NAMES = (SOME_ID, SOME_ID.upper(), "%00", "..%2f", "x" * 300, "%ff", "%ed%a0%80", "-", "1;drop", "%F0%9F%98%80", "")
PATHS = ("/v1/runs", "/v1/runs", "/v1/runs", "/v1/runs/{}", "/v1/runs/{}/cancel", "/v1/runs/{}/result", "/v1/runs/{}/steps",
         "/v1/runs/{}/events", "/v1/dead-letters", "/v1/dead-letters/{}", "/v1/dead-letters/replay", "/v1/dead-letters/{}/replay",
         "/v1/dead-letters/clusters", "/v1/dead-letters/replays", "/v1/dead-letters/{}/skip",
         "/v1/{}", "/v1/agents", "/v1/meta", "/{}", "//v1//runs", "/v1/runs/", "/health/{}")  # fmt: skip
QUERIES = ("limit", "cursor", "status", "agent", "after", "x")
LENGTHS = (b"-1", b"1e9", b"99999999999999999999999", b"0x10", b"+5", b" ", b"5, 6", b"1048577", b"5000000000")


@dataclass(frozen=True, slots=True)
class Request:
    """``wellformed``: HTTP has nothing against it, so there must be an answer, in our own words."""

    raw: bytes
    wellformed: bool
    method: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is 0 when the connection ended without one."""

    status: int
    content_type: str
    body: bytes


def requests(seed: int, key: str) -> Iterator[Request]:
    """Without end."""
    draw = random.Random(seed)  # to be drawn again
    while True:
        yield _request(draw, key)


def _request(draw: random.Random, key: str) -> Request:
    method, path = draw.choice(METHODS), draw.choice(PATHS).format(draw.choice(NAMES))
    if draw.random() < 0.4:
        method, path = "POST", "/v1/runs"
    elif draw.random() < 0.4:
        path += "?" + "&".join(f"{draw.choice(QUERIES)}={draw.choice(NAMES)}" for _ in range(draw.randint(1, 3)))
    body = b"" if method in ("GET", "HEAD") and draw.random() < 0.9 else _body(draw)
    headers = [b"Host: x", b"Authorization: Bearer " + (key.encode() if draw.random() < 0.95 else draw.choice(VALUES))]
    names = set[str]()
    if draw.random() < 0.9:
        headers.append(b"Content-Type: application/json")
        names.add("Content-Type")
    for _ in range(draw.choice((0, 0, 1, 2, 4))):
        name, value = draw.choice(HEADERS), draw.choice(VALUES)
        if name not in names:
            names.add(name)
            headers.append(name.encode() + b": " + value)
    told = all(byte == 9 or 32 <= byte != 127 for line in headers for byte in line)
    if draw.random() < 0.04:
        length, told = draw.choice(LENGTHS), False
    else:
        length = b"%d" % len(body)
    headers.append(b"Content-Length: " + length)
    head = f"{method} {path} HTTP/1.1\r\n".encode() + b"\r\n".join(headers) + b"\r\n\r\n"
    return Request(head + body, told and method != "FROB", method)


def _body(draw: random.Random) -> bytes:
    kind = draw.random()
    if kind < 0.25:
        return draw.choice(BOMBS)
    if kind < 0.35:
        return draw.randbytes(draw.randint(0, 200))
    fields = [(name, draw.choice(BOMBS)) for name in draw.sample(FIELDS, draw.choice((0, 0, 0, 1, 2, 3)))]
    if draw.random() < 0.8:
        fields.append(("agent", draw.choice(AGENTS)))
        fields.append(("input", b'"Go."' if draw.random() < 0.5 else draw.choice(BOMBS)))
    text = b"{" + b",".join(b'"' + name.encode() + b'":' + value for name, value in fields) + b"}"
    if draw.random() < 0.1:
        return text[: draw.randint(0, len(text))]
    if draw.random() < 0.1:
        at = draw.randint(0, len(text))
        return text[:at] + draw.randbytes(draw.randint(1, 4)) + text[at:]
    return text


async def send(url: str, request: Request) -> Answer:
    """The answer to it on a connection of its own, which is closed for writing once everything is sent."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 22)
    try:
        writer.write(request.raw)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        status, length = int(lines[0].split()[1]), int(headers.get(b"content-length", b"0"))
        body = b"" if request.method == "HEAD" or status in (204, 304) else await reader.readexactly(length)
        return Answer(status, headers.get(b"content-type", b"").decode(), body)
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, "", b"")
    finally:
        writer.transport.abort()


def complaint(request: Request, answer: Answer) -> str | None:
    """What is wrong with this answer, if anything."""
    if answer.status >= 500:
        return f"{answer.status}: {answer.body[:300]!r}"
    if not request.wellformed:
        return None  # the server may say so in its own words, or hang up
    if answer.status == 0:
        return "no answer"
    if answer.status >= 400 and request.method != "HEAD":
        if answer.content_type != "application/problem+json":
            return f"{answer.status} is no problem document: {answer.content_type} {answer.body[:100]!r}"
        if json.loads(answer.body)["status"] != answer.status:
            return "the document tells another status"
    return None
