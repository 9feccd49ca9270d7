"""How many tokens a text counts for: about four characters each. An estimate, like the one a client would make."""

from agentfleet.simulator.wire import Json, encode

CHARS_PER_TOKEN = 4
MEDIA_TOKENS = 1500  # an image or a document page; its base64 length says nothing about it
TOOL_CALL_TOKENS = 12  # the name and the frame around the arguments


def text_tokens(text: str | bytes) -> int:
    """Tokens of a text, rounded up; 0 for the empty text."""
    return -(-len(text) // CHARS_PER_TOKEN)


def block_tokens(block: Json) -> int:
    """Output tokens of one content block."""
    match block["type"]:
        case "text":
            return text_tokens(block["text"])
        case "thinking":
            # With display "omitted" the text is empty but the thinking was done and is billed.
            return max(text_tokens(block["thinking"]), 8)
        case "tool_use" | "server_tool_use":
            return TOOL_CALL_TOKENS + text_tokens(encode(block["input"]))
        case _:
            return text_tokens(encode(block))


def input_tokens(block: Json, encoded: bytes) -> int:
    """Input tokens of one tool, system or message block whose JSON is `encoded`."""
    match block.get("type"):
        case "text":
            return text_tokens(block["text"])
        case "image" | "document":
            return MEDIA_TOKENS
        case _:
            return text_tokens(encoded)
