"""Every attribute that spans of ours may have."""

from agentfleet.telemetry import attributes, genai

EMITTED = frozenset(
    value
    for module in (attributes, genai)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str) and "." in value
)
