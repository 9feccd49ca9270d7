"""The brain of the dependency audit demo: metadata first, the other tools in parallel, then a report of what they said.

Everything in the report comes from tool results in the conversation; nothing is made up. A tool that failed or is
missing leaves its field empty.
"""

from typing import Any, cast

from agentfleet.simulator.brains.hints import Hints
from agentfleet.simulator.brains.synthesis import synthesise
from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.turn import Turn, answer, tool_calls
from agentfleet.simulator.wire import Json, derived_id, encode

FIRST = ("read_metadata",)
SECOND = ("list_files", "declared_requirements", "find_license", "total_size")
LARGE_BYTES = 50 * 1024 * 1024


def recognises(conversation: Conversation) -> bool:
    """Whether this is the audit agent: its first tool is there and its prompt says what it does."""
    named = any(tool["name"] == FIRST[0] for tool in conversation.tools)
    return named and "dependency audit" in conversation.system_text.lower()


def next_turn(conversation: Conversation) -> Turn:
    """Metadata alone, then the other tools together, then the report."""
    offered = {tool["name"]: tool for tool in conversation.tools}
    called = {call.name for call in conversation.calls}
    for stage in (FIRST, SECOND):
        wanted = [name for name in stage if name in offered and name not in called]
        if wanted:
            return _ask(conversation, [offered[name] for name in wanted])
    text = encode(report(conversation)).decode()
    return answer(text)


def report(conversation: Conversation) -> Json:
    """The AuditReport: distribution, version, license, sizes, requirements, risk and one sentence why."""
    said = {call.name: call.result for call in conversation.calls if not call.is_error}
    metadata, files = _object(said.get("read_metadata")), _object(said.get("list_files"))
    requirements = _object(said.get("declared_requirements"), "requirements")
    license_ = _object(said.get("find_license"), "license").get("license") or metadata.get("license") or None
    size = _whole(_object(said.get("total_size"), "bytes"), "bytes", "size_bytes", "total_bytes", "size")
    missing = _texts(requirements.get("missing", requirements.get("missing_requirements")))
    risk, why = assess(license_=license_, missing=missing, size=size)
    return {
        "distribution": str(metadata.get("name") or distribution_of(conversation)),
        "version": str(metadata.get("version") or "unknown"),
        "license": str(license_) if license_ else None,
        "size_bytes": size,
        "file_count": _whole(files, "count", "file_count", "total") or len(_texts(files.get("files"))),
        "requirements": _texts(requirements.get("requirements")),
        "missing_requirements": missing,
        "risk": risk,
        "why": why,
    }


def assess(*, license_: Any, missing: list[str], size: int) -> tuple[str, str]:
    """Risk and the sentence: high with neither licence nor all requirements, medium with one fault or a large size."""
    faults: list[str] = []
    if not license_:
        faults.append("no license was found")
    if missing:
        faults.append(f"{len(missing)} declared requirement{'s are' if len(missing) > 1 else ' is'} not installed")
    risk = ("low", "medium", "high")[len(faults)]
    if size > LARGE_BYTES:
        faults.append(f"it takes {size // (1024 * 1024)} MB")
        risk = "medium" if risk == "low" else risk
    if not faults:
        return risk, "It has a license, its requirements are installed and it is small."
    sentence = " and ".join(faults)
    return risk, sentence[0].upper() + sentence[1:] + "."


def distribution_of(conversation: Conversation) -> str:
    """The distribution the user named, in JSON or as the last word of a plain text."""
    hints = Hints()
    hints.learn_text(conversation.user_text)
    found = hints.find("distribution", {"type": "string"}, {})
    words = conversation.user_text.split()
    return str(found[0]) if found else (words[-1].strip(".,!?\"'`") if words else "")


def _ask(conversation: Conversation, tools: list[Json]) -> Turn:
    hints = Hints()
    hints.learn({"distribution": distribution_of(conversation)})
    hints.learn_text(conversation.user_text)
    return tool_calls(
        *(
            (
                derived_id("toolu_", conversation.digest, b"%d" % index),
                tool["name"],
                synthesise(tool["input_schema"], hints, prose=conversation.user_text),
            )
            for index, tool in enumerate(tools)
        )
    )


def _object(value: Any, otherwise: str = "value") -> Json:
    """A tool result as an object; a bare value becomes the field it stands for."""
    if isinstance(value, dict):
        return cast("Json", value)
    return {} if value is None else {otherwise: value}


def _whole(holder: Json, *names: str) -> int:
    """The first of the names that holds a number; 0 if none does."""
    values = (holder.get(name) for name in names)
    return next((int(value) for value in values if isinstance(value, (int, float))), 0)


def _texts(value: Any) -> list[str]:
    return [str(item) for item in cast("list[Any]", value)] if isinstance(value, list) else []
