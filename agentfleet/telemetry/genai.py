"""OpenTelemetry's names for generative AI: all of them stand here, and nowhere else.

They are those of ``opentelemetry-semantic-conventions`` 0.66b2; a test compares. All are in development, and live on
in https://github.com/open-telemetry/semantic-conventions-genai: when one is renamed, it is renamed in this file.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agentfleet.domain.budget import Usage
from agentfleet.domain.model import Message
from agentfleet.telemetry.redaction import hide

Attributes = dict[str, Any]

AGENT_NAME = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
CONVERSATION_ID = "gen_ai.conversation.id"
INPUT_MESSAGES = "gen_ai.input.messages"
OPERATION_NAME = "gen_ai.operation.name"
OUTPUT_MESSAGES = "gen_ai.output.messages"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
USAGE_CACHE_CREATION_INPUT_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
INVOKE_AGENT = "invoke_agent"

PROVIDERS = {
    "bedrock": "aws.bedrock",
    "bedrock-mantle": "aws.bedrock",
    "foundry": "anthropic",
    "vertex": "gcp.vertex_ai",
}
"""The conventions' names of platforms that we call otherwise. Foundry has none: the SDK says so, too."""
MAX_TEXT = 2_000
"""Characters of one text of a message, an argument or a result; what is longer is cut."""
MAX_PARTS = 50
"""Parts of the messages of one attribute; the oldest are left out."""


def invoke_agent(agent: str, run_id: str, bundle_id: str) -> Attributes:
    """One step of an agent; its version is the bundle that the run is pinned to."""
    return {OPERATION_NAME: INVOKE_AGENT, AGENT_NAME: agent, AGENT_VERSION: bundle_id, CONVERSATION_ID: run_id}


def chat(provider: str, model: str, max_tokens: int, run_id: str) -> Attributes:
    """What is known of a model call when it begins."""
    return {
        OPERATION_NAME: CHAT,
        PROVIDER_NAME: PROVIDERS.get(provider, provider),
        REQUEST_MODEL: model,
        REQUEST_MAX_TOKENS: max_tokens,
        CONVERSATION_ID: run_id,
    }


def answered(
    stop_reason: str, usage: Usage, *, model: str | None, message_id: str | None, first_chunk: float | None
) -> Attributes:
    """What is known when it has ended. As the conventions ask, input tokens count what was cached, too."""
    known = {RESPONSE_MODEL: model, RESPONSE_ID: message_id, RESPONSE_TIME_TO_FIRST_CHUNK: first_chunk}
    return {
        RESPONSE_FINISH_REASONS: (stop_reason,),
        USAGE_INPUT_TOKENS: usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        USAGE_OUTPUT_TOKENS: usage.output_tokens,
        USAGE_CACHE_READ_INPUT_TOKENS: usage.cache_read_tokens,
        USAGE_CACHE_CREATION_INPUT_TOKENS: usage.cache_write_tokens,
        **{name: value for name, value in known.items() if value},
    }


def execute_tool(name: str, call_id: str, run_id: str) -> Attributes:
    """A call of a tool that is really made: neither a result of before nor one that a human gave."""
    return {
        OPERATION_NAME: EXECUTE_TOOL,
        TOOL_NAME: name,
        TOOL_CALL_ID: call_id,
        TOOL_TYPE: "function",
        CONVERSATION_ID: run_id,
    }


def asked_content(conversation: Sequence[Message]) -> Attributes:
    """What this call adds to the conversation: everything since the model's last answer. Only for who opted in."""
    last = max((n for n, message in enumerate(conversation, 1) if message.role == "assistant"), default=0)
    return {INPUT_MESSAGES: _messages([(message.role, message.content) for message in conversation[last:]])}


def answered_content(content: str) -> Attributes:
    """The model's answer, of which ``content`` is the JSON text. Only for who opted in."""
    return {OUTPUT_MESSAGES: _messages([("assistant", content)])}


def arguments_content(arguments: Mapping[str, Any]) -> Attributes:
    """A tool's arguments. Only for who opted in."""
    return {TOOL_CALL_ARGUMENTS: json.dumps(cut(hide(dict(arguments))), default=str)}


def result_content(result: str) -> Attributes:
    """What a tool answered. Only for who opted in."""
    return {TOOL_CALL_RESULT: cut(hide(_document(result)))}


def _messages(said: Sequence[tuple[str, str]]) -> str:
    blocks = [(role, block) for role, content in said for block in json.loads(content)]
    parts = [{"role": role, "parts": [_part(block)]} for role, block in blocks[-MAX_PARTS:]]
    return json.dumps(cut(hide(parts)), default=str)


def _part(block: Mapping[str, Any]) -> Attributes:
    """A content block in the conventions' words; what they have no word for only says what it is."""
    match block.get("type"):
        case "text":
            return {"type": "text", "content": block.get("text")}
        case "tool_use":
            return {
                "type": "tool_call",
                "id": block.get("id"),
                "name": block.get("name"),
                "arguments": block.get("input"),
            }
        case "tool_result":
            response = block.get("content")
            shown = _document(response) if isinstance(response, str) else response
            return {"type": "tool_call_response", "id": block.get("tool_use_id"), "response": shown}
        case kind:
            return {"type": str(kind)}


def _document(text: str) -> Any:
    """Parsed, if it is JSON: then secrets are found by the names of their fields, too."""
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except ValueError:
        return text


def cut(value: Any) -> Any:
    """``value`` with long texts cut, at any depth."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {str(key): cut(item) for key, item in cast("dict[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [cut(item) for item in cast("list[Any]", value)]
    return value
