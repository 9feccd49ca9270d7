"""A span, as our code uses it. This one does nothing: it is used while tracing is off (``recording`` has the other)."""

from collections.abc import Mapping
from typing import Any, Self


class Span:
    """Nobody looks: nothing is kept. Use it in a ``with``."""

    content = False
    """Whether what is said and given may be told, too."""

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Keep these attributes."""

    def event(self, name: str) -> None:
        """Something happens now."""

    def fail(self, error_type: str) -> None:
        """It is an error, of this kind. What the error says is content, so it is not told."""

    def answer(self, status: int, code: str) -> None:
        """An HTTP request is answered. 500 and above is an error of ours, called ``code``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """An exception that passes is an error, unless how it ended was told before."""


NOBODY = Span()
