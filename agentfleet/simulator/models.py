"""The catalogue of models: GET /v1/models, GET /v1/models/{id}, and what a request may ask of each."""

from dataclasses import dataclass

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.paging import page
from agentfleet.simulator.wire import Json


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model. `group` names the rate limit bucket it shares; dates are RFC 3339 or None."""

    id: str
    line: str
    group: str
    created_at: str
    lifecycle: str = "active"
    deprecated_at: str | None = None
    retires_at: str | None = None
    max_input_tokens: int = 1_000_000
    max_tokens: int = 128_000
    budgeted_thinking: bool = False  # accepts thinking {"type": "enabled", "budget_tokens"}
    forced_tools: bool = True  # accepts tool_choice "any" and "tool"

    def to_json(self) -> Json:
        """The `ModelInfo` object."""
        name, _, version = self.id.removeprefix("claude-").partition("-")
        return {
            "type": "model",
            "id": self.id,
            "display_name": f"Claude {name.capitalize()} {version.replace('-', '.')}",
            "created_at": self.created_at,
            "lifecycle": self.lifecycle,
            "deprecated_at": self.deprecated_at,
            "retires_at": self.retires_at,
            "line": self.line,
            "max_input_tokens": self.max_input_tokens,
            "max_tokens": self.max_tokens,
            "capabilities": self._capabilities(),
        }

    def _capabilities(self) -> Json:
        yes, no = {"supported": True}, {"supported": False}
        thinking = {
            "adaptive": no if self.budgeted_thinking else yes,
            "between_tools": no,
            "disabled": yes if self.forced_tools else no,
            "enabled": yes if self.budgeted_thinking else no,
        }
        return {
            "batch": no,
            "citations": no,
            "code_execution": no,
            "context_management": no,
            "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "xhigh": yes, "max": yes},
            "image_input": yes,
            "pdf_input": yes,
            "server_tools": {"supported": False, "code_execution": no, "web_search": no},
            "structured_outputs": yes,
            "thinking": {"supported": True, "types": thinking},
        }


CATALOGUE: dict[str, ModelCard] = {
    card.id: card
    for card in (  # most recently released first, as the endpoint lists them
        ModelCard("claude-fable-5-2", "fable", "fable-5.x", "2026-11-09T00:00:00Z", forced_tools=False),
        ModelCard("claude-haiku-5-5", "haiku", "haiku-5.5", "2026-10-21T00:00:00Z"),
        ModelCard("claude-sonnet-5-5", "sonnet", "sonnet-5.5", "2026-10-07T00:00:00Z"),
        ModelCard("claude-fable-5-1", "fable", "fable-5.x", "2026-09-01T00:00:00Z", forced_tools=False),
        ModelCard("claude-opus-5-5", "opus", "opus-5.5", "2026-09-01T00:00:00Z", forced_tools=False),
        ModelCard("claude-sonnet-5", "sonnet", "sonnet-5", "2026-06-01T00:00:00Z"),
        ModelCard("claude-fable-5", "fable", "fable-5.x", "2026-06-01T00:00:00Z"),
        ModelCard("claude-opus-5", "opus", "opus-5", "2026-06-01T00:00:00Z"),
        ModelCard("claude-opus-4-8", "opus", "opus-4.x", "2026-04-01T00:00:00Z"),
        ModelCard("claude-opus-4-7", "opus", "opus-4.x", "2026-03-01T00:00:00Z"),
        ModelCard("claude-opus-4-6", "opus", "opus-4.x", "2026-02-05T00:00:00Z", budgeted_thinking=True),
        ModelCard("claude-sonnet-4-6", "sonnet", "sonnet-4.x", "2026-02-17T00:00:00Z", budgeted_thinking=True),
        ModelCard(
            "claude-opus-4-5", "opus", "opus-4.x", "2025-11-24T00:00:00Z", max_tokens=64_000, budgeted_thinking=True
        ),
        ModelCard(
            "claude-haiku-4-5", "haiku", "haiku-4.5", "2025-10-15T00:00:00Z", max_tokens=64_000, budgeted_thinking=True
        ),
        ModelCard(
            "claude-sonnet-4-5",
            "sonnet",
            "sonnet-4.x",
            "2025-09-29T00:00:00Z",
            lifecycle="deprecated",
            deprecated_at="2026-05-30T00:00:00Z",
            retires_at="2026-11-30T00:00:00Z",
            max_tokens=64_000,
            budgeted_thinking=True,
        ),
        ModelCard(
            "claude-opus-4-0",
            "opus",
            "opus-4.x",
            "2025-05-22T00:00:00Z",
            lifecycle="retired",
            deprecated_at="2025-12-15T00:00:00Z",
            retires_at="2026-06-15T00:00:00Z",
            max_tokens=32_000,
            budgeted_thinking=True,
        ),
    )
}
LISTED_BY_DEFAULT = frozenset({"active", "deprecated"})


def callable_model(model: str) -> ModelCard:
    """The card of a model that answers requests; 404 for an unknown or retired one. Dated ids name their base model."""
    card = _card(model)
    if card is None or card.lifecycle == "retired":
        raise ApiError(404, f"model: {model}")
    return card


def group_of(model: str) -> str:
    """The rate limit group of a model, callable or not; `other` for an unknown one."""
    card = _card(model)
    return card.group if card else "other"


def model_page(lifecycles: frozenset[str], limit: int, after_id: str | None, before_id: str | None) -> Json:
    """One page of the list."""
    cards = [card for card in CATALOGUE.values() if card.lifecycle in (lifecycles or LISTED_BY_DEFAULT)]
    return page([(card.id, card.to_json()) for card in cards], limit, after_id, before_id)


def _card(model: str) -> ModelCard | None:
    stem, _, date = model.rpartition("-")
    return CATALOGUE.get(stem if date.isdigit() and len(date) == 8 else model)
