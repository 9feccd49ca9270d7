"""The Anthropic reasoner: one streaming Messages API call per reason step. Implements ``engine.ports.Reasoner``.

A call is paid for even when its answer is lost, and no idempotency key prevents paying twice. So nothing that happens
after ``message_stop`` can fail a turn any more, and nothing is tried again in here.
"""

from collections.abc import Callable

from agentfleet.domain.errors import ProviderError, StepError
from agentfleet.engine.ports import Reasoned, ReasonRequest
from agentfleet.provider.call import Call
from agentfleet.provider.client import build_client
from agentfleet.provider.connections import Connections
from agentfleet.provider.errors import translate
from agentfleet.provider.limits import Limits
from agentfleet.provider.measure import count_failure, count_success


class AnthropicReasoner:
    """Calls the Messages API at ``base_url`` with ``api_key``.

    Its connections keep to ``limits``; how long a whole call takes is the caller's business. Raises ``InvalidInput``
    when it is not configured. Imports the SDK: construct it after any fork, before the work begins.
    """

    def __init__(self, base_url: str | None, api_key: str | None, *, limits: Limits) -> None:
        self._client = build_client(base_url, api_key, Connections(limits))

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        """One complete turn; raises the ``StepError`` that says why there is none."""
        call = Call(request, on_text)
        try:
            reasoned = await call.run(self._client)
        except Exception as error:  # noqa: BLE001  # the SDK lets out whatever its transport and parser raise
            failure = _with_evidence(translate(error), call)
        else:
            count_success(call.answer.model, reasoned.usage, call.first_token)
            return reasoned
        # Raised out here: an error keeps the one that was being handled, and that one holds the API key.
        count_failure(request.model, failure)
        raise failure

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _with_evidence(failure: StepError, call: Call) -> StepError:
    """With what the provider's support asks for, and the least that a lost answer has cost."""
    if call.request_id is not None:
        failure.detail.setdefault("request_id", call.request_id)
        if isinstance(failure, ProviderError):
            failure.request_id = failure.request_id or call.request_id
    if call.answer.usage:
        failure.detail["usage"] = call.answer.usage
    return failure
