"""The local autoscaler does what the endpoint says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from agentfleet.dev import scaler
from agentfleet.dev.scaler import BRISK, SLOTS, Scaler, scale_environment
from agentfleet.settings import Settings


@dataclass
class Crew:
    workers: int = 2
    sizes: list[int] = field(default_factory=list)

    def resize(self, workers: int) -> None:
        self.workers = workers
        self.sizes.append(workers)


class Decisions(BaseHTTPRequestHandler):
    """Answers with the next of ``answers``: a number of workers, or a status that is none."""

    answers: list[tuple[int, int]]
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        status, workers = self.answers.pop(0)
        body = json.dumps({"desired_workers": workers, "binding": "work", "reason": "Steps: 9 wait."}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint(monkeypatch) -> Iterator[str]:
    monkeypatch.setattr(scaler, "EVERY", 0.0)
    Decisions.answers, Decisions.asked = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Decisions)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_workers_come_and_go_as_it_is_told_and_a_line_says_why(endpoint):
    crew, said = Crew(), []
    following = Scaler(crew, endpoint, "secret", said.append, pool="gpu")
    Decisions.answers = [(200, 2), (200, 5), (200, 4)]
    for _ in range(3):
        following.look()
    assert crew.sizes == [5, 4]
    assert said == ["2 -> 5 workers: work. Steps: 9 wait.", "5 -> 4 workers: work. Steps: 9 wait."]
    assert Decisions.asked == [("/internal/autoscale?pool=gpu", "Bearer secret")] * 3


def test_while_nobody_answers_everything_stays_and_that_is_said_once(endpoint):
    crew, said = Crew(), []
    following = Scaler(crew, endpoint, "secret", said.append)
    Decisions.answers = [(404, 9), (503, 9), (401, 9), (200, 3), (500, 9)]
    for _ in range(5):
        following.look()
    assert crew.sizes == [3]
    assert [line.partition(":")[0] for line in said] == [
        "The autoscaler is blind, the workers stay as they are", "2 -> 3 workers",
        "The autoscaler is blind, the workers stay as they are",
    ]  # fmt: skip


def test_it_asks_every_few_seconds_only(endpoint, monkeypatch):
    monkeypatch.setattr(scaler, "EVERY", 600.0)
    following = Scaler(Crew(), endpoint, "secret", print)
    Decisions.answers = [(200, 2)]
    for _ in range(3):
        following.look()
    assert len(Decisions.asked) == 1


def test_what_you_have_set_stays(monkeypatch):
    monkeypatch.setenv("AGENTFLEET_WORKER_CAPACITY", "100")
    found = scale_environment(Settings(), 2, 8)
    assert "AGENTFLEET_WORKER_CAPACITY" not in found
    assert (found["AGENTFLEET_SCALE_MIN_WORKERS"], found["AGENTFLEET_SCALE_MAX_WORKERS"]) == ("2", "8")
    assert json.loads(found["AGENTFLEET_SCALE_POOLS"]) == {"default": BRISK}
    monkeypatch.delenv("AGENTFLEET_WORKER_CAPACITY")
    assert scale_environment(Settings(), 2, 8)["AGENTFLEET_WORKER_CAPACITY"] == str(SLOTS)
