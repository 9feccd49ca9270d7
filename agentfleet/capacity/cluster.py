"""What Kubernetes makes of a wanted number of pods: the HorizontalPodAutoscaler, behind KEDA.

Algorithm and names: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ (tolerance,
stabilisation windows, policies with ``selectPolicy: Max``) and pkg/controller/podautoscaler/horizontal.go.
"""

import math
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rule:
    """So much may change within ``seconds``: ``percent`` of the pods at their begin, or this many ``pods``."""

    seconds: float
    percent: float = 0.0
    pods: int = 0

    def most(self, start: int) -> int:
        """Pods that there may be after growth from ``start``."""
        return start + self.pods if self.pods else math.ceil(start * (1 + self.percent / 100))

    def least(self, start: int) -> int:
        """Pods that there must be after shrinking from ``start``; a fraction is cut off, as Kubernetes does."""
        return start - self.pods if self.pods else int(start * (1 - self.percent / 100))


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster's pace, in seconds. The defaults are those of the chart and of Kubernetes."""

    polling: float = 10.0
    """KEDA's ``pollingInterval``. The HorizontalPodAutoscaler asks besides, at every sync."""
    sync: float = 15.0
    """How often the HorizontalPodAutoscaler looks (``--horizontal-pod-autoscaler-sync-period``)."""
    tolerance: float = 0.1
    up: tuple[Rule, ...] = (Rule(30, percent=100), Rule(30, pods=4))
    up_window: float = 0.0
    down: tuple[Rule, ...] = (Rule(60, percent=10),)
    down_window: float = 300.0
    pod_start: float = 20.0
    """From the decision to a process that is ready: schedule, pull, import, connect."""
    warm_up: float = 10.0
    """A new worker takes a 32nd of its slots at first, and twice as many after every fifth of this time."""
    drain: float = 120.0
    """What a step that runs on a pod that ends is given to end, too; then it is handed back."""


@dataclass(slots=True)
class Hpa:
    """The controller of one Deployment. ``wanted`` is the sum of an AverageValue metric with target 1."""

    cluster: Cluster
    least: int
    most: int
    _told: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _grown: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _shrunk: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def sync(self, wanted: float, now: float, pods: int) -> int:
        """The pods that there shall be from now on, where there are ``pods``."""
        within = pods > 0 and abs(wanted / pods - 1) <= self.cluster.tolerance
        stable = self._stabilise(pods if within else math.ceil(wanted), now, pods)
        target = min(max(stable, self.least), self.most)
        if target > pods:
            target = min(target, max(pods, self._most(now, pods)))
            self._grown.append((now, target - pods))
        elif target < pods:
            target = max(target, min(pods, self._least(now, pods)))
            self._shrunk.append((now, pods - target))
        return target

    def _stabilise(self, wanted: int, now: float, pods: int) -> int:
        """Grow to the least that was wanted within the window for growth, shrink to the most within the other one."""
        if not self._told:
            self._told.append((now, pods))
        up = min([wanted, *(told for at, told in self._told if at > now - self.cluster.up_window)])
        down = max([wanted, *(told for at, told in self._told if at > now - self.cluster.down_window)])
        self._told.append((now, wanted))
        while self._told[0][0] < now - max(self.cluster.up_window, self.cluster.down_window):
            self._told.popleft()
        return min(max(pods, up), down)

    def _most(self, now: float, pods: int) -> int:
        return max(rule.most(self._start(rule, now, pods)) for rule in self.cluster.up)

    def _least(self, now: float, pods: int) -> int:
        return min(rule.least(self._start(rule, now, pods)) for rule in self.cluster.down)

    def _start(self, rule: Rule, now: float, pods: int) -> int:
        """Pods at the begin of the rule's period that ends now."""
        since = now - rule.seconds
        grown = sum(change for at, change in self._grown if at > since)
        shrunk = sum(change for at, change in self._shrunk if at > since)
        return pods - grown + shrunk
