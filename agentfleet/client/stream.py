"""A run's events as they happen (Server-Sent Events), over as many connections as it takes."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Final

import httpx2

from agentfleet.client.errors import ApiProblem
from agentfleet.client.models import ENDED, Event
from agentfleet.client.patience import Patience
from agentfleet.client.transport import AGAIN, Transport, check

SILENCE: Final = 40.0
"""Seconds: the server says something every 15, if only that it is still there."""
ENDS: Final = frozenset(f"run.{state}" for state in ENDED)


def follow(transport: Transport, run_id: str, after: int) -> Iterator[Event]:
    """Every event with a larger ``seq`` than ``after``, then new ones, until the run has ended.

    Raises:
        ApiProblem: the API said no.
        Unreachable: there was no connection for as long as our patience lasted.
    """
    path, trying = f"/v1/runs/{run_id}/events", Patience(transport.patience)
    while True:
        try:
            headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
            with transport.http.stream("GET", path, headers=headers, timeout=SILENCE) as response:
                if response.status_code == 204:  # we have seen everything, and nothing will follow
                    return
                if response.status_code >= 400:
                    response.read()
                    check(response)
                for event in parse(response.iter_lines()):
                    after = event.seq or after
                    trying.reset()
                    yield event
                    if event.type in ENDS:
                        return
        except (httpx2.TransportError, ApiProblem) as error:
            if isinstance(error, ApiProblem) and error.status not in AGAIN:
                raise
            if trying.exhausted:
                raise transport.unreachable(error) from error
        time.sleep(trying.pause())


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream; what is not complete at the end is left out."""
    kind, data = "", ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value
        elif not line and data:
            document = json.loads(data)
            yield Event(type=kind, data=document) if kind == "delta" else Event.model_validate(document)
            kind, data = "", ""
