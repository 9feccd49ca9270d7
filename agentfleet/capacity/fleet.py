"""The fleet of the model: a queue of ready steps, pods with slots, and the provider's bucket before model calls."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from agentfleet.capacity.bucket import Provider
from agentfleet.capacity.cluster import Cluster
from agentfleet.capacity.pods import Phase, Pod
from agentfleet.capacity.tally import Tally
from agentfleet.capacity.work import Step

if TYPE_CHECKING:
    from simpy import Environment
    from simpy.events import Event, ProcessGenerator

DOUBLINGS, LEAST_ROOM = 5, 16
"""The slow start of a worker, as ``broker/warmup.py`` has it."""
LONGEST_BACKOFF = 30.0
"""Seconds a fleet without admission waits after a refusal, at most."""


class Fleet:
    """``concurrency`` slots a pod; a step costs its pod ``cpu`` seconds of one core. Without ``admits`` every call is
    made at once, and a refused one is made again by the slot that it holds, with exponential backoff.
    """

    def __init__(
        self,
        env: "Environment",
        cluster: Cluster,
        *,
        concurrency: int,
        cpu: float,
        provider: Provider | None,
        admits: bool,
        random: Random,
    ) -> None:
        self._env, self._cluster, self._concurrency, self._cpu = env, cluster, concurrency, cpu
        self._random, self._admits, self.provider = random, admits, provider
        self.ready = deque[Step]()
        self.pods = list[Pod]()
        self.tally = Tally()
        self._roomy_pods = deque[Pod]()
        self._woken = env.event()
        if provider and admits:
            env.process(self._serve_queue(provider))

    @property
    def running(self) -> int:
        """Steps that hold a slot."""
        return sum(len(pod.running) for pod in self.pods)

    @property
    def waiting(self) -> int:
        """Steps that wait for room in the provider's bucket."""
        return len(self.provider.queue) if self.provider else 0

    def count(self, *phases: Phase) -> int:
        """Pods in these phases."""
        return sum(pod.phase in phases for pod in self.pods)

    def arrive(self, step: Step) -> None:
        """A new step is ready."""
        self.tally.arrived += 1
        step.due = self.provider.due(self._env.now) if step.calls and self.provider else self._env.now
        self._offer(step)

    def resize(self, target: int) -> None:
        """Start pods, or end those that would be missed least: the ones that start, then those that do least."""
        alive = [pod for pod in self.pods if pod.phase in (Phase.STARTING, Phase.SERVING)]
        for _ in range(target - len(alive)):
            self._env.process(self._live(self._add()))
        alive.sort(key=lambda pod: (pod.phase is not Phase.STARTING, len(pod.running)))
        for pod in alive[: max(len(alive) - target, 0)]:
            self._env.process(self._drain(pod))

    def begin(self, pods: int) -> None:
        """Pods that have been there for long."""
        for _ in range(pods):
            pod = self._add()
            pod.phase, pod.limit = Phase.SERVING, self._concurrency
            self._has_room(pod)

    def _add(self) -> Pod:
        self.pods.append(Pod(self._env.now))
        return self.pods[-1]

    def _live(self, pod: Pod) -> "ProcessGenerator":
        yield self._env.timeout(self._cluster.pod_start)
        if pod.phase is not Phase.STARTING:
            return
        pod.phase = Phase.SERVING
        for left in range(DOUBLINGS, -1, -1):
            pod.limit = min(self._concurrency, max(self._concurrency >> left, LEAST_ROOM))
            self._has_room(pod)
            yield self._env.timeout(self._cluster.warm_up / DOUBLINGS)

    def _drain(self, pod: Pod) -> "ProcessGenerator":
        pod.phase = Phase.DRAINING if pod.phase is Phase.SERVING else Phase.GONE
        if pod.running:
            yield self._env.timeout(self._cluster.drain)
        for step in list(pod.running.values()):
            step.fence += 1
            self.tally.interrupted += 1
            self._offer(step)
        pod.running.clear()
        self._leave(pod)

    def _leave(self, pod: Pod) -> None:
        if pod in self.pods:
            pod.phase = Phase.GONE
            self.pods.remove(pod)

    def _offer(self, step: Step) -> None:
        step.ready_at = self._env.now
        self.ready.append(step)
        self._fill()

    def _fill(self) -> None:
        while self.ready and (pod := self._roomy()):
            step, now = self.ready.popleft(), self._env.now
            step.waited += now - step.ready_at
            if step.calls and not step.admitted and self.provider and self._admits and not self.provider.admit(now):
                self.provider.queue.append(step)
                if not self._woken.triggered:
                    self._woken.succeed()
            else:
                self._start(step, pod)

    def _roomy(self) -> Pod | None:
        """The next pod in turn that has room; pods that have none are asked again when they say so."""
        while self._roomy_pods:
            pod = self._roomy_pods[0]
            if pod.room:
                self._roomy_pods.rotate(-1)
                return pod
            self._roomy_pods.popleft().listed = False
        return None

    def _has_room(self, pod: Pod) -> None:
        if not pod.listed:
            pod.listed = True
            self._roomy_pods.append(pod)
        self._fill()

    def _start(self, step: Step, pod: Pod) -> None:
        now = self._env.now
        behind = max(pod.cpu_until - now, 0.0)
        pod.cpu_until = max(pod.cpu_until, now) + self._cpu
        step.waited = step.age(now) + behind
        step.fence += 1
        step.admitted = False
        self.tally.starts += 1
        self.tally.cpu_seconds += self._cpu
        pod.running[id(step)] = step
        self._work(step, pod, delay=behind + self._cpu, tries=0)

    def _work(self, step: Step, pod: Pod, *, delay: float, tries: int) -> None:
        """Call, if it is a call, and end; a call that is refused is made again."""
        if step.calls and self.provider and not self.provider.call(self._env.now):
            pause = self._random.random() * min(2.0**tries, LONGEST_BACKOFF)
            self._after(delay + pause, step, lambda: self._work(step, pod, delay=0.0, tries=tries + 1))
        else:
            self._after(delay + step.seconds, step, lambda: self._end(step, pod))

    def _after(self, seconds: float, step: Step, action: Callable[[], None]) -> None:
        fence = step.fence

        def fire(_event: "Event") -> None:
            if step.fence == fence:
                action()

        event = self._env.timeout(seconds)
        event.callbacks.append(fire)  # pyright: ignore[reportUnknownMemberType]  # simpy types its own lists in part

    def _end(self, step: Step, pod: Pod) -> None:
        del pod.running[id(step)]
        self.tally.ended(step)
        for following in step.then:
            self.arrive(following)
        if pod.phase is Phase.DRAINING and not pod.running:
            self._leave(pod)
        self._has_room(pod)

    def _serve_queue(self, provider: Provider) -> "ProcessGenerator":
        while True:
            if not provider.queue:
                self._woken = self._env.event()
                yield self._woken
            admitted, seconds = provider.serve(self._env.now)
            for step in admitted:
                step.admitted = True
                self._offer(step)
            yield self._env.timeout(seconds)
