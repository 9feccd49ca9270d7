"""A tool's result as text for the model."""

from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def as_text(result: Any) -> str:
    """A ``str`` as it is, anything else as the JSON text that pydantic makes of it; raises ``ValueError``."""
    if isinstance(result, str):
        return result
    try:
        return to_json(result, by_alias=True, inf_nan_mode="strings").decode()
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from error
