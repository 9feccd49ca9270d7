"""Clients of several tenants, one thread each: they submit runs over HTTP, follow them in one way or another, look
where they have no business, and note what they asked for and what they got.
"""

import threading
from collections.abc import Mapping, Sequence
from random import Random

from agentfleet.client import ApiProblem, Client, Unreachable
from agentfleet.client.models import SETTLED, Run
from tests.chaos.soak import agents
from tests.chaos.soak.history import History, Type

PATIENCE = 8.0
"""Seconds for which one call goes on trying; then it counts as lost, and the client does it again."""
REVIEW = "run.needs_review"


class Load:
    """Everybody who asks for something."""

    def __init__(self, url: str, keys: Mapping[str, str], history: History, seed: int, *, clients: int) -> None:
        self.stopping, self.abandoned = threading.Event(), threading.Event()
        self.submitted, self.settled = 0, 0
        self.cancels = threading.Semaphore(0)
        """How many cancels the nemesis has ordered and nobody has done yet."""
        tenants = sorted(keys)
        self._clients = [
            _Client(
                self, f"client-{n}", tenants[n % len(tenants)], keys, url, history, Random(f"{seed}:{n}")
            )  # must be repeatable
            for n in range(clients)
        ]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def cancel_some(self) -> None:
        """Have a few clients cancel what they follow."""
        self.cancels.release(3)

    def ended(self) -> bool:
        """Whether everybody has seen the end of what they had submitted."""
        return not any(client.is_alive() for client in self._clients)


class _Client(threading.Thread):
    """One client: one run at a time."""

    def __init__(
        self, load: Load, name: str, tenant: str, keys: Mapping[str, str], url: str, history: History, rng: Random
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._load, self._tenant, self._history, self._rng = load, tenant, history, rng
        self._api = Client(url, keys[tenant], patience=PATIENCE)
        others: Sequence[str] = [key for other, key in keys.items() if other != tenant]
        self._other = Client(url, rng.choice(others), patience=PATIENCE)
        self._past: list[str] = []

    def run(self) -> None:
        with self._api, self._other:
            self._go_on()

    def _go_on(self) -> None:
        number = 0
        while not self._load.stopping.is_set():
            number += 1
            run_id = self._submit(self._rng.choice(agents.NAMES), f"{self.name}-{number}")
            if run_id is None:
                continue
            self._load.submitted += 1
            if self._rng.random() < 0.1:
                self._spy(run_id)
            follow = self._rng.choice((self._poll, self._wait, self._stream, self._stream))
            while not self._load.abandoned.is_set() and not follow(run_id):
                pass
            self._load.settled += 1
            self._past.append(run_id)
            self._read(self._rng.choice(self._past))

    def _submit(self, agent: str, key: str) -> str | None:
        """Until it is known what became of it: always with the same key."""
        asked = {"agent": agent, "key": key, "tenant": self._tenant}
        while not self._load.abandoned.is_set():
            self._history.add(self.name, "invoke", "submit", **asked)
            try:
                run = self._api.submit(agent, f"Order {key}.", key=key)
            except Unreachable as error:
                self._history.add(self.name, "info", "submit", **asked, error=str(error))
            except ApiProblem as error:
                self._history.add(self.name, "fail", "submit", **asked, error=str(error))
                return None
            else:
                self._history.add(self.name, "ok", "submit", **asked, run=run.id)
                return run.id
        return None

    def _read(self, run_id: str, wait: float | None = None) -> Run | None:
        self._history.add(self.name, "invoke", "read", run=run_id)
        try:
            run = self._api.get(run_id) if wait is None else self._api.wait(run_id, wait)
        except Exception as error:  # noqa: BLE001  # the checker decides what a client may see
            self._history.add(self.name, _ending(error), "read", run=run_id, error=str(error))
            return None
        self._history.add(self.name, "ok", "read", run=run_id, status=run.status)
        return run

    def _settled(self, run: Run | None) -> bool:
        return run is not None and run.status in SETTLED

    def _poll(self, run_id: str) -> bool:
        """Look every now and then."""
        self._cancel_if_told(run_id)
        self._load.abandoned.wait(self._rng.uniform(0.1, 0.5))
        return self._settled(self._read(run_id))

    def _wait(self, run_id: str) -> bool:
        """A long poll."""
        self._cancel_if_told(run_id)
        return self._settled(self._read(run_id, 2))

    def _stream(self, run_id: str) -> bool:
        """Server-Sent Events to the end; hangs up now and then, and comes back for the rest."""
        last = 0
        while not self._load.abandoned.is_set():
            self._cancel_if_told(run_id)
            try:
                for event in self._api.events(run_id, after=last):
                    if event.seq is None:
                        continue
                    last = event.seq
                    self._history.add(self.name, "ok", "event", run=run_id, seq=last, type=event.type)
                    if event.type == REVIEW:
                        return True
                    if self._rng.random() < 0.1:
                        break
                else:
                    return True
            except Unreachable as error:
                self._history.add(self.name, "info", "event", run=run_id, error=str(error))
        return False

    def _cancel_if_told(self, run_id: str) -> None:
        if not self._load.cancels.acquire(blocking=False):
            return
        self._history.add(self.name, "invoke", "cancel", run=run_id)
        try:
            run = self._api.cancel(run_id)
        except Exception as error:  # noqa: BLE001  # the checker decides what a client may see
            self._history.add(self.name, _ending(error), "cancel", run=run_id, error=str(error))
        else:
            self._history.add(self.name, "ok", "cancel", run=run_id, status=run.status)

    def _spy(self, run_id: str) -> None:
        """Another tenant tries to look, and to cancel."""
        for what, act in (("get", self._other.get), ("result", self._other.result), ("cancel", self._other.cancel)):
            self._history.add(self.name, "invoke", "spy", run=run_id, what=what)
            try:
                act(run_id)
            except Exception as error:  # noqa: BLE001  # as above
                status = error.status if isinstance(error, ApiProblem) else None
                self._history.add(self.name, _ending(error), "spy", run=run_id, what=what, status=status)
            else:
                self._history.add(self.name, "ok", "spy", run=run_id, what=what)


def _ending(error: Exception) -> Type:
    """Whether what was asked for certainly has not happened."""
    return "fail" if isinstance(error, ApiProblem) else "info"
