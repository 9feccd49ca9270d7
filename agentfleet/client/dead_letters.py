"""Dead letters as methods of the client."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from agentfleet.client.models import Cluster, DeadLetter, ReplayPlan, ReplayProgress
from agentfleet.client.transport import Transport

PATH: Final = "/v1/dead-letters"
IDLE_ROUNDS: Final = 5
"""Calls in a row of a replay in bulk that bring nothing back: others do it, or it cannot be done."""


class LetterFilter(TypedDict, total=False):
    """Which dead letters: those for which all that is given holds. ``name`` is the step's: a tool's or a model's."""

    fingerprint: str | None
    verdict: str | None
    agent: str | None
    name: str | None
    created_after: datetime | None
    created_before: datetime | None


class DeadLetters:
    """What ``Client`` can do about dead letters."""

    _transport: Transport

    def dead_letters(self, *, status: str | None = "open", **which: Unpack[LetterFilter]) -> Iterator[DeadLetter]:
        """Dead letters, the newest first."""
        params = {"status": status, **which}
        return (DeadLetter.model_validate(document) for document in self._transport.pages(PATH, _given(params)))

    def clusters(self, **which: Unpack[LetterFilter]) -> list[Cluster]:
        """Open dead letters by kind, the largest kind first."""
        found = self._transport.json("GET", f"{PATH}/clusters", params={**_given(which), "limit": 200})
        return [Cluster.model_validate(document) for document in found["data"]]

    def dead_letter(self, dead_letter_id: str) -> DeadLetter:
        """One dead letter with its attempts, the end of the conversation and what its run has spent."""
        return DeadLetter.model_validate(self._transport.json("GET", f"{PATH}/{dead_letter_id}"))

    def replay(
        self,
        dead_letter_id: str,
        *,
        input: str | Mapping[str, Any] | None = None,  # noqa: A002 - the API's word
        message: str | None = None,
        model: str | None = None,
        instructions: str | None = None,
    ) -> DeadLetter:
        """Put its step back with fresh attempts: the run goes on where it stopped, edited if something is given.

        ``input`` is a tool call's arguments, or the run's input while the model has said nothing; ``message`` is
        appended to the conversation.
        """
        edit = _given({"input": input, "message": message, "model": model, "instructions": instructions})
        return self._act(dead_letter_id, "replay", edit or None)

    def skip(self, dead_letter_id: str, result: Any, *, is_error: bool = False) -> DeadLetter:
        """Say what its tool returned, a text or any JSON value. The run goes on with that; the tool is not called."""
        return self._act(dead_letter_id, "skip", {"result": result, "is_error": is_error})

    def discard(self, dead_letter_id: str) -> DeadLetter:
        """Give up for good: the run ends as failed."""
        return self._act(dead_letter_id, "discard", None)

    def plan_replay(self, *, edit: Mapping[str, str] | None = None, **which: Unpack[LetterFilter]) -> ReplayPlan:
        """What a replay of all these would do; it does nothing. ``edit`` may have ``model`` and ``instructions``."""
        terms = {"filter": _given(which), "edit": dict(edit or {})}
        found = self._transport.json("POST", f"{PATH}/replays", body={**terms, "dry_run": True})
        return ReplayPlan.model_validate({**found, **terms})

    def replay_all(self, plan: ReplayPlan) -> Iterator[ReplayProgress]:
        """Do what was planned, batch by batch, behind all other work. It may be stopped, repeated, done by several."""
        idle = 0
        body = {"filter": plan.filter, "edit": plan.edit, "token": plan.token, "dry_run": False}
        while plan.token is not None and idle < IDLE_ROUNDS:
            done = ReplayProgress.model_validate(self._transport.json("POST", f"{PATH}/replays", body=body))
            yield done
            if not done.remaining:
                return
            idle = 0 if done.replayed else idle + 1

    def _act(self, dead_letter_id: str, verb: str, body: Mapping[str, Any] | None) -> DeadLetter:
        return DeadLetter.model_validate(self._transport.json("POST", f"{PATH}/{dead_letter_id}/{verb}", body=body))


def _given(terms: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of ``terms``; moments as RFC 3339 texts."""
    return {
        name: value.astimezone().isoformat() if isinstance(value, datetime) else value
        for name, value in terms.items()
        if value is not None
    }
