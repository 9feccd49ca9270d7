"""The one parser of request bodies. JSON that another parser would read differently, or that Postgres, Python or the
provider could not keep, is refused here: duplicate keys, NaN, huge numbers, NUL, lone surrogates, depth, size.
"""

import json
import math
from typing import Any, Final, NoReturn, cast

from agentfleet.api.problems import INVALID_JSON, Fault, Problem, pointer

MAX_DEPTH: Final = 32
MAX_NODES: Final = 10_000
MAX_STRING_BYTES: Final = 256 * 1024
MAX_INTEGER: Final = 2**53
"""Beyond it, a client that keeps numbers as doubles and we would not mean the same number."""
MAX_DIGITS: Final = 20
"""More than any number within ``MAX_INTEGER`` needs; Python refuses to read thousands of them."""


class _Repeated(dict[str, Any]):
    """An object whose text had a key twice."""

    key = ""


class _NotANumber:
    """``NaN``, ``Infinity`` or ``-Infinity``, which are not JSON."""


class _Refused(Exception):
    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail, self.path = detail, list[str]()


class _Counter:
    """How many values there were so far."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 0


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``; raises ``Problem`` (422) with a pointer to what is wrong."""
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        _refuse(f"the body is not UTF-8: byte {error.start} cannot be read")
    except json.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        _refuse(f"the body is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        _refuse("the body must be a JSON object")
    try:
        _check(value, MAX_DEPTH, _Counter())
    except _Refused as refused:
        _refuse(refused.detail, pointer(*reversed(refused.path)))
    return cast("dict[str, Any]", value)


def _check(value: Any, room: int, counter: _Counter) -> None:
    counter.nodes += 1
    if counter.nodes > MAX_NODES:
        raise _Refused(f"the body holds more than {MAX_NODES} values")
    match value:
        case str():
            _check_text(value)
        case bool() | None:
            pass
        case int():
            if abs(value) > MAX_INTEGER:
                raise _Refused("the integer is beyond 2^53: send it as a string")
        case float():
            if not math.isfinite(value):
                raise _Refused("the number is too large")
        case dict():
            _check_object(cast("dict[str, Any]", value), room - 1, counter)
        case list():
            _check_list(cast("list[Any]", value), room - 1, counter)
        case _:
            raise _Refused("NaN and Infinity are not JSON")


def _check_object(value: dict[str, Any], room: int, counter: _Counter) -> None:
    if room < 0:
        raise _Refused(f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, _Repeated):
        raise _Refused(f"the key {value.key[:100]!r} stands here twice")
    for key, child in value.items():
        try:
            _check_text(key)
            _check(child, room, counter)
        except _Refused as refused:
            refused.path.append(key)
            raise


def _check_list(value: list[Any], room: int, counter: _Counter) -> None:
    if room < 0:
        raise _Refused(f"the body is nested deeper than {MAX_DEPTH} levels")
    for index, child in enumerate(value):
        try:
            _check(child, room, counter)
        except _Refused as refused:
            refused.path.append(str(index))
            raise


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _Refused("the text holds a NUL character")
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise _Refused("the text holds half a surrogate pair, which is no character") from None
    if size > MAX_STRING_BYTES:
        raise _Refused(f"the text is longer than {MAX_STRING_BYTES} bytes")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    repeated = _Repeated(found)
    repeated.key = next(key for key, _ in pairs if key in seen or seen.add(key))
    return repeated


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _constant(_name: str) -> _NotANumber:
    return _NotANumber()


def _refuse(detail: str, place: str = "") -> NoReturn:
    raise Problem(INVALID_JSON, f"{detail} at {place}" if place else detail, errors=[Fault(detail, pointer=place)])


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
