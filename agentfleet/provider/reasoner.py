"""The Anthropic reasoner: one streaming Messages API call per reason step. Implements ``engine.ports.Reasoner``.

Whom to ask, whether somebody else warms the prompt's prefix just now, whether the bucket has room; then the call. It is
paid for even when its answer is lost, and no idempotency key prevents paying twice. So nothing that happens after
``message_stop`` can fail a turn any more, and nothing is tried again in here.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from agentfleet.domain.errors import ProviderBusy, ProviderError, ProviderParked, StepError
from agentfleet.engine.ports import Reasoned, ReasonRequest
from agentfleet.provider.account import Account
from agentfleet.provider.accounts import Accounts
from agentfleet.provider.call import Call
from agentfleet.provider.connections import Connections, Crossed
from agentfleet.provider.errors import translate
from agentfleet.provider.limits import Limits
from agentfleet.provider.measure import count_failure, count_success
from agentfleet.provider.platforms import Endpoint
from agentfleet.provider.prompt_cache import count_prompt_cache
from agentfleet.provider.quota import Quota
from agentfleet.provider.reservation import Reservation, Unmetered
from agentfleet.provider.traced import chat, tell
from agentfleet.provider.warmth import Turn, Warmth
from agentfleet.telemetry.spans import Span


class AnthropicReasoner:
    """Calls the Messages API of the account that the run is pinned to, or of one that it is pinned to from now on.

    Its connections keep to ``limits``; how long a whole call takes is the caller's business. Without ``quota`` nobody
    meters, without ``warmth`` nobody waits for another's prefix. Raises ``InvalidInput`` when it is not configured.
    Imports the SDK: construct it after any fork, before the work begins.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        limits: Limits,
        quota: Quota | None = None,
        warmth: Warmth | None = None,
        crossed: Crossed | None = None,
    ) -> None:
        self._quota, self._warmth = quota, warmth
        self._accounts = Accounts(accounts, Connections(limits, crossed), self._is_parked)

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        """One complete turn; raises the ``StepError`` that says why there is none."""
        if self._quota is not None:
            await self._quota.look(self._accounts.organizations)
        refused = set[str]()
        while True:
            endpoint = self._accounts.choose(request, refused)
            try:
                return await self._ask(request, on_text, endpoint)
            except (ProviderParked, ProviderBusy) as failure:
                refused.add(endpoint.account.organization)
                if not await self._may_ask_another(request, refused, failure):
                    raise

    async def _ask(self, request: ReasonRequest, on_text: Callable[[str], None] | None, endpoint: Endpoint) -> Reasoned:
        async with self._turn(request, endpoint) as turn:
            reservation = await self._reserve(request, endpoint, warm=turn.warm)
            with chat(request, endpoint.account.platform) as span:
                reasoned = await self._call(request, on_text, endpoint, Watch(reservation, turn), span)
        return replace(reasoned, account=endpoint.account.name)

    async def _may_ask_another(self, request: ReasonRequest, refused: set[str], failure: ProviderError) -> bool:
        """Whether the account is parked, which costs nothing, and the conversation may go on at one that is not."""
        if self._quota is None or self._accounts.choose(request, refused).account.organization in refused:
            return False
        if isinstance(failure, ProviderBusy):  # of a full bucket, perhaps: there the step waits in line
            await self._quota.look(self._accounts.organizations, now=True)
            return all(self._quota.is_closed(organization) for organization in refused)
        return True

    async def _call(
        self,
        request: ReasonRequest,
        on_text: Callable[[str], None] | None,
        endpoint: Endpoint,
        watch: "Watch",
        span: Span,
    ) -> Reasoned:
        call, reservation = Call(request, on_text, watch), watch.reservation
        try:
            reasoned = await call.run(endpoint)
        except Exception as error:  # noqa: BLE001  # the SDK lets out whatever its transport and parser raise
            failure = _with_evidence(translate(error), call)
            response = getattr(error, "response", None)
            headers = None if response is None else response.headers
        else:
            count_success(call.answer.model, reasoned.usage, call.first_token, endpoint.account.platform)
            count_prompt_cache(request, call.answer.model, reasoned.usage)
            reservation.ended(call.answer.usage)
            if self._quota is not None:
                self._quota.learn(request, reasoned.usage)
            answer = call.answer
            tell(span, reasoned, model=answer.model, message_id=answer.id, first_chunk=call.first_token)
            return reasoned
        # Raised out here: an error keeps the one that was being handled, and that one holds the API key.
        reservation.failed(failure, headers)
        count_failure(request.model, failure, endpoint.account.platform)
        raise failure

    async def close(self) -> None:
        """Close all connections."""
        await self._accounts.close()

    async def _reserve(self, request: ReasonRequest, endpoint: Endpoint, *, warm: bool) -> Reservation | Unmetered:
        if self._quota is None:
            return Unmetered()
        return await self._quota.reserve(request, endpoint.account.organization, warm=warm)

    @asynccontextmanager
    async def _turn(self, request: ReasonRequest, endpoint: Endpoint) -> AsyncGenerator[Turn]:
        if self._warmth is None:
            yield Turn(warm=False, spoken=lambda: None)
            return
        async with self._warmth.turn(request, endpoint.account.organization) as turn:
            yield turn

    def _is_parked(self, account: Account) -> bool:
        return self._quota is not None and self._quota.is_closed(account.organization)


@dataclass(frozen=True, slots=True)
class Watch:
    """What others learn of a call while it is under way."""

    reservation: Reservation | Unmetered
    turn: Turn

    def opened(self, headers: Mapping[str, str]) -> None:
        """Its answer has begun."""
        self.reservation.opened(headers)

    def begun(self, usage: Mapping[str, Any]) -> None:
        """The size of its prompt is known."""
        self.reservation.begun(usage)

    def spoken(self) -> None:
        """The model has begun to speak: its prompt is in the provider's cache."""
        self.turn.first_byte()


def _with_evidence(failure: StepError, call: Call) -> StepError:
    """With what the provider's support asks for, and the least that a lost answer has cost."""
    if call.request_id is not None:
        failure.detail.setdefault("request_id", call.request_id)
        if isinstance(failure, ProviderError):
            failure.request_id = failure.request_id or call.request_id
    if call.answer.usage:
        failure.detail["usage"] = call.answer.usage
        if isinstance(failure, ProviderError):
            with suppress(LookupError, TypeError, ValueError):  # a malformed answer says malformed things
                failure.usage = call.usage
    return failure
