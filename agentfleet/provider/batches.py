"""Message Batches through the SDK (https://platform.claude.com/docs/en/build-with-claude/batch-processing).

Requests are spliced from stored text, and results are kept as the lines that they came in. Creating is not idempotent:
who does not hear the answer looks for the batch in the list, see ``engine.send``.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from agentfleet.domain.batch import ItemState
from agentfleet.domain.errors import InvalidInput, ProviderRejected
from agentfleet.engine.ports import ReasonRequest, SentBatch
from agentfleet.provider.account import Account, Platform
from agentfleet.provider.accounts import Accounts, read_accounts
from agentfleet.provider.batch_result import read_line
from agentfleet.provider.body import dumps, request_body
from agentfleet.provider.connections import Connections
from agentfleet.provider.errors import translate
from agentfleet.provider.limits import Limits
from agentfleet.provider.platforms import Endpoint

T = TypeVar("T")
Json = dict[str, Any]

PATH = "/v1/messages/batches"
PAGE = 100
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


class AnthropicBatches:
    """Implements ``engine.ports.BatchService``. Every method raises the ``StepError`` that says why it could not."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def account_of(self, request: ReasonRequest) -> str:
        """The account that a direct call would ask."""
        return self._accounts.choose(request).account.name

    async def create(self, account: str, requests: Sequence[tuple[str, ReasonRequest]]) -> str:
        """Post ``(custom id, request)``; the provider's id of the batch."""
        endpoint = self._endpoint(account)
        lines = b",".join(_line(endpoint, custom_id, request) for custom_id, request in requests)
        posting = endpoint.client.post(PATH, content=b'{"requests":[' + lines + b"]}", cast_to=object)
        return str((await _told(posting))["id"])

    async def recent(self, account: str, since: datetime) -> list[SentBatch]:
        """The account's batches that were created after ``since``, newest first."""
        client, found, after = self._endpoint(account).client, list[SentBatch](), ""
        while True:
            query = f"{PATH}?limit={PAGE}" + (f"&after_id={after}" if after else "")
            page = await _told(client.get(query, cast_to=object))
            rows = [_sent(row) for row in page["data"]]
            found += [row for row in rows if row.created_at >= since]
            if not page["has_more"] or not rows or rows[-1].created_at < since:
                return found
            after = rows[-1].provider_id

    async def look(self, account: str, provider_id: str) -> SentBatch:
        """How far a batch is."""
        return _sent(await _told(self._endpoint(account).client.get(f"{PATH}/{provider_id}", cast_to=object)))

    async def cancel(self, account: str, provider_id: str) -> None:
        """Give up what the provider has not begun with."""
        await _told(self._endpoint(account).client.post(f"{PATH}/{provider_id}/cancel", cast_to=object))

    async def results(self, account: str, provider_id: str) -> AsyncGenerator[tuple[str, ItemState, str]]:
        """Custom id, what the result means, and the line as it came, for each request of a batch that has ended."""
        from agentfleet.provider.http import RawStream

        client = self._endpoint(account).client
        try:
            stream = await client.get(
                f"{PATH}/{provider_id}/results", cast_to=object, stream=True, stream_cls=RawStream
            )
            try:
                async for line in _lines(stream.response.aiter_bytes()):
                    yield *read_line(line), line
            finally:
                await stream.response.aclose()
        except Exception as error:  # noqa: BLE001  # the SDK lets out whatever its transport and parser raise
            failure = translate(error)
        else:
            return
        raise failure  # out here: an error keeps the one that was being handled, and that one holds the API key

    async def close(self) -> None:
        """Close all connections."""
        await self._accounts.close()

    def _endpoint(self, account: str) -> Endpoint:
        endpoint = self._accounts.named(account)
        if endpoint is None:
            raise ProviderRejected(f"there is no account {account!r} any more")
        if endpoint.account.platform is not Platform.ANTHROPIC:
            raise ProviderRejected(f"the platform of account {account!r} has no Message Batches")
        return endpoint


def _line(endpoint: Endpoint, custom_id: str, request: ReasonRequest) -> bytes:
    body = request_body(request, {"model": endpoint.account.model_id(request.model)})
    return f'{{"custom_id":{dumps(custom_id)},"params":'.encode() + body + b"}"


async def _told(asking: Awaitable[object]) -> Json:
    """The answer, a JSON object."""
    try:
        answer = await asking
        if not isinstance(answer, dict):
            raise TypeError("the answer is not a JSON object")  # noqa: TRY301  # to be translated like the others
    except Exception as error:  # noqa: BLE001  # the SDK lets out whatever its transport and parser raise
        failure = translate(error)
    else:
        return answer  # pyright: ignore[reportUnknownVariableType]  # checked as far as it is used
    raise failure


def _sent(row: Json) -> SentBatch:
    counts: Json = row["request_counts"]
    return SentBatch(
        row["id"],
        datetime.fromisoformat(row["created_at"]),
        sum(int(counts[name]) for name in COUNTS),
        ended=row["processing_status"] == "ended",
    )


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of a stream, which end in LF; the last one may not."""
    rest = b""
    async for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line.strip():
                yield line.decode()
    if rest.strip():
        yield rest.decode()


def make_batches(
    name: str, *, base_url: str | None, api_key: str | None, limits: Limits, accounts: Sequence[Account] = ()
) -> AnthropicBatches:
    """For ``accounts``, or the one of ``base_url`` and ``api_key``; raises ``InvalidInput`` for another provider.

    Imports the SDK: call it on the event loop that uses it.
    """
    if name != "anthropic":
        raise InvalidInput("AGENTFLEET_PROVIDER", f"{name!r} has no batches: nothing needs this process")
    only = read_accounts(None, base_url=base_url, api_key=api_key, env=lambda _: None) if not accounts else ()
    return AnthropicBatches(Accounts([*accounts, *only], Connections(limits)))
