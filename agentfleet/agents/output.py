"""Whether the model's last words are the output that its agent promised."""

import json
import re
from collections.abc import Callable

from pydantic import BaseModel, ValidationError

from agentfleet.agents.problems import compact
from agentfleet.agents.text import storable
from agentfleet.domain.plan import Invalid, Valid

_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL | re.IGNORECASE)


def checker(output_type: type[BaseModel] | None) -> Callable[[str], Valid | Invalid]:
    """The check of an agent's output: its text as JSON of ``output_type``, or any text at all."""

    def check(text: str) -> Valid | Invalid:
        if not text.strip():
            return Invalid("it is empty.")
        if output_type is None:
            return Valid(json.dumps(storable(text), ensure_ascii=False))
        fenced = _FENCED.fullmatch(text)
        try:
            value = output_type.model_validate_json(fenced[1] if fenced else text)
        except ValidationError as error:
            return Invalid(f"it is not JSON of the required shape: {compact(error)}.")
        return Valid(storable(value.model_dump_json(by_alias=True)))

    return check
