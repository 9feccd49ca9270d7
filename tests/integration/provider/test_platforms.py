"""Calls as they arrive at each platform: a server on this machine stands in for the cloud, behind the SDK's own client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY

from agentfleet.domain.errors import (
    InvalidInput,
    ProviderModelUnknown,
    ProviderParked,
    ProviderRateLimited,
    ProviderUnavailable,
)
from agentfleet.provider.account import Account
from agentfleet.provider.connections import Connections
from agentfleet.provider.limits import Limits
from agentfleet.provider.platforms import Endpoint
from agentfleet.provider.reasoner import AnthropicReasoner
from tests.integration.provider.talk import MODEL, START, ask, block, end, message
from tests.unit.provider.test_eventstream import chunk, frame

TEXT = (START, block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Grüß Gott"}), end())
CONVERSATION = (
    message(0, "user", "Say hello."),
    message(1, "assistant", {"type": "thinking", "thinking": "é", "signature": "s=="}, "Hello."),
    message(2, "user", "Again."),
)
ACCOUNTS: dict[str, dict[str, Any]] = {
    "anthropic": {},
    "bedrock": {"region": "us-east-1", "models": {MODEL: "us.anthropic.claude-sonnet-5-5-v1:0"}},
    "bedrock-mantle": {"region": "us-east-1", "models": {MODEL: "anthropic.claude-sonnet-5-5"}},
    "vertex": {"region": "europe-west1", "project": "my project", "models": {MODEL: "claude-sonnet-5-5@20261007"}},
    "foundry": {},
}
PATHS = {
    "anthropic": "/v1/messages",
    "bedrock": "/model/us.anthropic.claude-sonnet-5-5-v1:0/invoke-with-response-stream",
    "bedrock-mantle": "/v1/messages",
    "vertex": "/projects/my%20project/locations/europe-west1/publishers/anthropic/models/"
    "claude-sonnet-5-5@20261007:streamRawPredict",
    "foundry": "/v1/messages",
}
OURS = ("x-agentfleet-", "x-stainless-", "content-length")
"""Headers that may differ: ours, those that name the SDK's method, and the length of a differently spaced body."""


@dataclass
class Cloud:
    """What arrived, and what is answered."""

    url: str = ""
    answer: bytes = b""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def says(self, status: int, content_type: str, *parts: str | bytes) -> None:
        body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
        head = f"HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\nx-amzn-requestid: req_aws\r\n"
        self.answer = f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body

    def speaks(self, platform: str) -> None:
        """A turn, in the platform's framing."""
        if platform == "bedrock":
            events = [json.loads(line[6:]) for part in TEXT for line in part.splitlines() if line.startswith("data: ")]
            self.says(200, "application/vnd.amazon.eventstream", *map(chunk, events))
        else:
            self.says(200, "text/event-stream; charset=utf-8", *TEXT)


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    here = Cloud()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
        body = await reader.readexactly(int(headers["content-length"]))
        here.requests.append((line.split()[1], headers, body))
        writer.write(here.answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    here.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield here
    server.close()


def account(platform: str, url: str, **changes: Any) -> Account:
    values = {"name": "cloud", "platform": platform, "base_url": url, "api_key": "key", **ACCOUNTS[platform]}
    return Account.model_validate({**values, **changes})


@pytest.fixture
async def reason(cloud: Cloud) -> Any:
    """Asks the account once and closes it."""

    async def call(platform: str, **changes: Any) -> Any:
        reasoner = AnthropicReasoner([account(platform, cloud.url, **changes)], limits=Limits(10))
        try:
            return await reasoner.reason(ask(*CONVERSATION), None)
        finally:
            await reasoner.close()

    return call


@pytest.mark.parametrize("platform", ACCOUNTS)
async def test_a_call_arrives_as_the_sdk_makes_it_with_every_byte_that_was_said(
    platform: str, cloud: Cloud, reason: Any
):
    cloud.speaks(platform)
    await reason(platform)
    ((path, headers, sent),) = cloud.requests
    assert path == PATHS[platform]
    assert CONVERSATION[1].content.encode()[1:-1] in sent

    own = json.loads(sent)
    endpoint = Endpoint(account(platform, cloud.url), Connections(Limits(10)))
    with suppress(ImportError):  # its own reader of Bedrock's stream needs botocore, after the request
        fields = {key: own[key] for key in ("max_tokens", "messages", "system")}
        model = endpoint.account.model_id(MODEL)
        stream = await endpoint.client.messages.create(model=model, stream=True, **fields)
        await stream.close()
    await endpoint.close()
    path_of_sdk, headers_of_sdk, sent_by_sdk = cloud.requests[1]
    assert path == path_of_sdk
    assert own == json.loads(sent_by_sdk)
    assert _compared(headers) == _compared(headers_of_sdk)


def _compared(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith(OURS)}


@pytest.mark.parametrize("platform", ACCOUNTS)
async def test_a_turn_is_read_and_paid_for_on_every_platform(platform: str, cloud: Cloud, reason: Any):
    cloud.speaks(platform)
    reasoned = await reason(platform)
    assert json.loads(reasoned.turn.content) == [{"type": "text", "text": "Grüß Gott"}]
    assert reasoned.account == "cloud"
    sample = {"provider": platform, "model": MODEL, "code": "200"}
    assert REGISTRY.get_sample_value("agentfleet_llm_requests_total", sample)
    assert reasoned.request_id == "req_aws"
    assert reasoned.usage.cost_usd == Decimal("0.000104")


async def test_a_model_that_the_cloud_calls_otherwise_costs_what_ours_costs(cloud: Cloud, reason: Any):
    cloud.says(200, "text/event-stream", *[part.replace(f'"{MODEL}"', '"anthropic.who-knows"') for part in TEXT])
    assert (await reason("bedrock-mantle")).usage.cost_usd == Decimal("0.000104")


async def test_a_refusal_inside_bedrocks_stream_means_what_it_means_elsewhere(cloud: Cloud, reason: Any):
    refusal = frame({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"Slow"}')
    cloud.says(200, "application/vnd.amazon.eventstream", refusal)
    with pytest.raises(ProviderRateLimited, match="Slow"):
        await reason("bedrock")


async def test_a_damaged_stream_of_bedrock_is_no_turn(cloud: Cloud, reason: Any):
    cloud.says(200, "application/vnd.amazon.eventstream", chunk({"type": "message_stop"})[:-1] + b"\0")
    with pytest.raises(ProviderUnavailable, match="damaged"):
        await reason("bedrock")


@pytest.mark.parametrize("platform", ["bedrock", "vertex"])
@pytest.mark.parametrize(("status", "error"), [(403, ProviderParked), (429, ProviderRateLimited)])
async def test_a_refusal_in_a_clouds_own_words_means_what_its_status_means(
    platform: str, status: int, error: type, cloud: Cloud, reason: Any
):
    cloud.says(status, "application/json", '{"message": "no"}')
    with pytest.raises(error):
        await reason(platform)


async def test_a_page_in_place_of_a_stream_is_no_turn(cloud: Cloud, reason: Any):
    cloud.says(200, "text/html", "<html>")
    with pytest.raises(ProviderUnavailable, match="not an event stream"):
        await reason("bedrock")


async def test_a_model_that_the_account_does_not_serve_is_not_asked_for(cloud: Cloud, reason: Any):
    with pytest.raises(ProviderModelUnknown, match=MODEL):
        await reason("vertex", models={"claude-opus-5": "claude-opus-5"})
    assert cloud.requests == []


def test_what_the_sdk_refuses_is_told_of_the_account(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_BASE_URL", "https://elsewhere")
    with pytest.raises(InvalidInput, match="account 'cloud': base_url and resource are mutually exclusive"):
        Endpoint(account("foundry", "", base_url=None, resource="r"), Connections(Limits(10)))


@pytest.mark.parametrize(
    ("platform", "extra"), [("bedrock", "bedrock"), ("bedrock-mantle", "bedrock"), ("vertex", "vertex")]
)
def test_a_cloud_whose_credentials_nobody_can_find_names_what_to_install(platform: str, extra: str, monkeypatch):
    monkeypatch.setattr("agentfleet.provider.platforms._installed", lambda _: False)
    with pytest.raises(InvalidInput, match=f"account 'cloud'.*pip install 'agentfleet\\[{extra}\\]'"):
        Endpoint(account(platform, "http://127.0.0.1:9", api_key=None), Connections(Limits(10)))
