"""Admission over Redis: one atomic script (``lua/admission.lua``) for all that a call needs, shared by the whole fleet.

Without Redis every process goes on alone, as carefully as with a bucket that nobody knows anything about.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from importlib import resources
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from agentfleet.domain import admission as model
from agentfleet.domain.admission import Axes, Bucket, Gate, Heard, Need, Pace
from agentfleet.domain.errors import ProviderBusy
from agentfleet.engine.batcher import Batcher
from agentfleet.engine.ports import Round, Survey
from agentfleet.provider.state import survey
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.admission")

SCRIPT = resources.files("agentfleet.provider").joinpath("lua", "admission.lua").read_text("utf-8")
PATIENCE = 2.0
"""Seconds that a call waits for Redis before it goes on alone."""
GRANT_TTL = 60
"""Seconds in which the worker of an admitted step has to ask; afterwards it is admitted anew."""
NO_SERVICE = ("0", 0, 0, 0)

Operation = tuple[str, str, tuple[str | float, ...]]
"""Name, bucket, and what the script takes for it."""


class Admission:
    """Who may call, as one process asks and reports. ``caps`` a minute, by bucket or by model group."""

    def __init__(self, redis: Redis, *, prefix: str, pace: Pace, caps: Mapping[str, Axes]) -> None:
        self._redis, self._prefix, self._pace, self._caps = redis, prefix, pace, caps
        self._batch: Batcher[Operation, Any] = Batcher(self._run)
        self._sha: str | None = None
        self._alone: dict[str, Bucket] = {}
        self._paces: dict[str, tuple[float, ...]] = {}
        self._reads_count: dict[str, bool] = {}
        self._reports: set[asyncio.Task[None]] = set()

    async def reserve(self, need: Need, step_id: str) -> float:
        """Take what the call needs, unless that was done when its step was admitted; when it was let in.

        Raises ``ProviderBusy``.
        """
        begun = 0.0
        asked = ("admit", need.bucket, (*NO_SERVICE, self._key("grant", ""), GRANT_TTL, step_id, *axes(need)))
        try:
            async with asyncio.timeout(PATIENCE):
                count, at, counts, _, _, _, *waits = await self._batch(asked)
                begun, self._reads_count[need.bucket] = float(at), bool(counts)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("admission_alone", bucket=need.bucket, error=str(error) or type(error).__name__)
            found = model.admit(
                self._own(need.bucket), Gate(), [axes(need)], self._pace_of(need.bucket), time.monotonic()
            )
            count, waits = found.count, list(found.waits)
        metrics.ADMISSIONS.labels(need.bucket, "admitted" if count else "refused").inc()
        if not count:
            wait = float(waits[0])
            busy = ProviderBusy(f"{need.bucket} has no room yet, probably in {wait:.1f} s", retry_after=wait)
            busy.need = need
            raise busy
        return begun

    async def admit(self, bucket: str, needs: Sequence[tuple[str, Need]], waiting: Axes) -> Round:
        """Serve the queue: admit steps in order as far as there is room. ``waiting`` is what all who wait need."""
        flat = [value for step_id, need in needs for value in (step_id, *axes(need))]
        operation = ("admit", bucket, ("1", *waiting, self._key("grant", ""), GRANT_TTL, *flat))
        count, _, _, requests, inputs, outputs, *waits = await self._batch(operation)
        return Round(count, float(waits[0]) if waits else None, (float(requests), float(inputs), float(outputs)))

    def reads_count(self, bucket: str) -> bool:
        """Whether cache reads count as input there, as of this process's last call."""
        return self._reads_count.get(bucket, False)

    def revoke(self, step_id: str, need: Need) -> None:
        """A step that was admitted will not call: what was taken for it goes back."""
        self._report("revoke", need.bucket, self._key("grant", step_id), *axes(need))

    def settle(self, bucket: str, taken: Axes, used: Axes) -> None:
        """Of what had been taken so much was used, perhaps more."""
        self._report("settle", bucket, *taken, *used)

    def listen(self, bucket: str, heard: Heard) -> None:
        """What the headers of an answer, or the organization's list, say.

        A limit of nothing is not learned: there is no time at which a call would fit. The provider refuses such a call.
        """
        limits = tuple(limit or None for limit in heard.limits)
        heard = replace(heard, limits=limits)
        model.listen(self._own(bucket), heard, self._pace_of(bucket), time.monotonic())
        told = (*heard.limits, *heard.remaining, None if heard.reads_count is None else int(heard.reads_count))
        self._report("listen", bucket, *("" if value is None else value for value in told))

    def succeeded(self, bucket: str, begun: float) -> None:
        """A call that was let in at ``begun`` was answered."""
        self._report("succeeded", bucket, begun)

    def limited(self, bucket: str, seconds: float, *, growth: bool) -> None:
        """429: nobody calls before ``seconds`` have passed. ``growth``: its use grew too fast."""
        model.limited(self._own(bucket), seconds, self._pace, time.monotonic(), growth=growth)
        self._report("limited", bucket, seconds, int(growth))

    def overloaded(self, bucket: str) -> None:
        """529, in whatever dress."""
        self._report("overloaded", bucket)

    def park(self, bucket: str, probe: float) -> None:
        """The bucket's whole account cannot be used; one call every ``probe`` seconds looks whether it can."""
        self._report("park", bucket, probe)

    async def parked(self, organizations: Sequence[str]) -> frozenset[str]:
        """Which accounts are parked; none when nobody knows."""
        found = await self._probed([self._key("account", organization) for organization in organizations])
        return frozenset(name for name, probed in zip(organizations, found, strict=True) if probed)

    async def closed(self, organizations: Sequence[str]) -> frozenset[str]:
        """Which accounts take no call now: parked, and nobody has to look yet. None when nobody knows."""
        pipe = self._redis.pipeline(transaction=False)
        for organization in organizations:
            pipe.hget(self._key("account", organization), "look_at")
        try:
            async with asyncio.timeout(PATIENCE):
                seconds, microseconds = await self._redis.time()  # pyright: ignore[reportUnknownMemberType]  # no types
                found = await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            return frozenset()
        now = float(seconds) + float(microseconds) / 1e6
        return frozenset(name for name, at in zip(organizations, found, strict=True) if float(at or 0) > now)

    async def shut(self, bucket: str) -> bool:
        """Whether the breaker of an overloaded model is open; ``False`` when nobody knows."""
        return (await self._probed([self._key("bucket", bucket)]))[0]

    async def survey(self) -> Survey | None:
        """Every bucket and every parked account; ``None`` when nobody knows."""
        try:
            return await survey(self._redis, self._prefix, self._pace)
        except (RedisError, OSError):
            return None

    async def resume(self, organization: str) -> bool:
        """A human says that the account works again; whether it was parked."""
        return bool(await self._redis.delete(self._key("account", organization)))

    async def close(self) -> None:
        """Wait for the last reports."""
        if self._reports:
            await asyncio.wait(self._reports, timeout=PATIENCE)

    async def _probed(self, keys: Sequence[str]) -> list[bool]:
        """Through which gates only one call passes now and then, to look."""
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.hget(key, "every")
        try:
            return [float(every or 0) > 0 for every in await pipe.execute()]
        except (RedisError, OSError):
            return [False] * len(keys)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"

    def _pace_of(self, bucket: str) -> Pace:
        organization, _, group = bucket.partition("/")
        caps = self._caps.get(bucket) or self._caps.get(group)
        return self._pace if caps is None or not organization else replace(self._pace, caps=caps)

    def _pace_arguments(self, bucket: str) -> tuple[float, ...]:
        found = self._paces.get(bucket)
        if found is None:
            pace = self._pace_of(bucket)
            found = self._paces[bucket] = (
                pace.burst, pace.ramp_start, pace.ramp, pace.idle, pace.probe, pace.turn, *pace.caps,
            )  # fmt: skip
        return found

    def _own(self, bucket: str) -> Bucket:
        """What this process alone believes of a bucket."""
        own = self._alone.get(bucket)
        if own is None:
            own = self._alone[bucket] = model.new_bucket(self._pace_of(bucket), time.monotonic())
        return own

    def _report(self, name: str, bucket: str, *arguments: str | float) -> None:
        """Behind the caller's back: a report that is lost costs accuracy, never a turn."""
        task = asyncio.create_task(self._reported((name, bucket, arguments)), context=Context())
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _reported(self, operation: Operation) -> None:
        try:
            await self._batch(operation)
        except (RedisError, OSError) as error:
            log.debug("admission_report_lost", operation=operation[0], error=str(error))

    async def _run(self, operations: Sequence[Operation]) -> Sequence[Any]:
        """Every operation in one round trip; a server that has restarted is told the script again."""
        results = await self._send(operations)
        if any(isinstance(result, NoScriptError) for result in results):
            self._sha = None
            results = await self._send(operations)
        failed = next((result for result in results if isinstance(result, Exception)), None)
        if failed is not None:
            raise failed
        return results

    async def _send(self, operations: Sequence[Operation]) -> Sequence[Any]:
        sha = self._sha = self._sha or await self._redis.script_load(SCRIPT)
        pipe = self._redis.pipeline(transaction=False)
        for name, bucket, arguments in operations:
            keys = self._key("bucket", bucket), self._key("account", bucket.partition("/")[0])
            pipe.evalsha(sha, 2, *keys, name, "", *self._pace_arguments(bucket), *arguments)
        return await pipe.execute(raise_on_error=False)


def axes(need: Need) -> Axes:
    """One request and its tokens."""
    return 1.0, float(need.input_tokens), float(need.output_tokens)
