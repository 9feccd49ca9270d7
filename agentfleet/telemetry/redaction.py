"""What never leaves the process: secrets, found by the names of their fields and by their shape."""

import re
from typing import Any, cast

SECRET_KEY = re.compile(r"(?i)(api[_-]?key|authorization|password|secret|token$|cookie)")
SECRET_VALUE = re.compile(r"(sk-ant-[\w-]{6,}|af_[\w-]{20,}|Bearer\s+[\w.~+/-]{8,}=*|(?<=://)[^/\s:@]*:[^/\s@]+(?=@))")
"""Provider keys, our own keys, bearer headers, and user:password in URLs."""
HIDDEN = "***"


def hide(value: Any) -> Any:
    """``value`` without secrets, at any depth."""
    if isinstance(value, str):
        return SECRET_VALUE.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {key: hide_field(str(key), item) for key, item in cast("dict[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [hide(item) for item in cast("list[Any]", value)]
    return value


def hide_field(key: str, value: Any) -> Any:
    """``value``, as the field ``key``: hidden altogether when that is the name of a secret."""
    return HIDDEN if isinstance(value, str) and SECRET_KEY.search(key) else hide(value)
