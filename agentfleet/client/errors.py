"""What can go wrong for a client.

ClientError
├── ApiProblem    the API answered with a problem (RFC 9457)
├── Unreachable   no answer, after several tries
└── WaitTimeout   the run had not ended in time; it goes on
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Anything that a call of the client can raise."""


class ApiProblem(ClientError):
    """A problem+json answer. ``code`` never changes its meaning; ``document`` is the whole of it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        self.status = int(document.get("status", 0))
        self.code = str(document.get("code", "unknown"))
        self.title = str(document.get("title", "The API refused"))
        self.detail = str(document.get("detail", ""))
        self.request_id = str(document.get("request_id", ""))
        self.errors: list[dict[str, Any]] = list(document.get("errors", ()))
        super().__init__(self._text())

    def _text(self) -> str:
        places = [f"{e.get('pointer') or e.get('parameter') or 'body'}: {e.get('detail')}" for e in self.errors]
        lines = [f"{self.title}: {self.detail}" if self.detail else self.title, *(f"  {place}" for place in places)]
        lines = [line for number, line in enumerate(lines) if number == 0 or line.strip() not in lines[0]]
        return "\n".join([*lines, f"  ({self.status} {self.code}, request {self.request_id or 'unknown'})"])


class Unreachable(ClientError):
    """The API did not answer, or could not serve, after several tries."""


class WaitTimeout(ClientError, TimeoutError):
    """The run had not ended in time; it goes on."""
