"""One request, tried again where that is safe. Every request of this API may be repeated: a submit carries a key."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import httpx2

from agentfleet.client.errors import ApiProblem, Unreachable
from agentfleet.client.patience import Patience

AGAIN: Final = frozenset({502, 503, 504})
TIMEOUT: Final = 30.0
PAGE: Final = 200


class Transport:
    """HTTP with an API key; may be shared between threads."""

    def __init__(self, base_url: str, api_key: str, patience: float) -> None:
        self._url, self.patience = base_url, patience
        headers = {"Authorization": f"Bearer {api_key}", "User-Agent": "agentfleet-client"}
        self.http = httpx2.Client(base_url=base_url, headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        waits: float = 0.0,
    ) -> Any:
        """The answer's document. ``waits``: seconds that the server may take beyond the usual.

        Raises:
            ApiProblem: the API said no.
            Unreachable: it could not be asked for as long as our patience lasted.
        """
        trying = Patience(self.patience)
        while True:
            try:
                response = self.http.request(
                    method, path, json=body, params=params, headers=dict(headers or {}), timeout=TIMEOUT + waits
                )
            except httpx2.TransportError as error:
                if trying.exhausted:
                    raise self.unreachable(error) from error
                time.sleep(trying.pause())
                continue
            if response.status_code not in AGAIN or trying.exhausted:
                check(response)
                return response.json()
            time.sleep(trying.pause(response.headers.get("retry-after")))

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every document of a list, page by page."""
        here = {**params, "limit": PAGE}
        while True:
            page = self.json("GET", path, params=here)
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            here["cursor"] = page["next_cursor"]

    def unreachable(self, error: Exception) -> Unreachable:
        """What to raise when ``error`` was the last one."""
        return Unreachable(f"{self._url} does not answer: {str(error) or type(error).__name__}")


def check(response: httpx2.Response) -> None:
    """Raise ``ApiProblem`` for an answer that is a refusal; its body must have been read."""
    if response.status_code < 400:
        return
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        raise ApiProblem(cast("dict[str, Any]", document))
    page = {"status": response.status_code, "title": f"HTTP {response.status_code}", "detail": response.text[:200]}
    raise ApiProblem(page)  # of a proxy
