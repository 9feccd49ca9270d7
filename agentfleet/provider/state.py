"""What Redis knows of the provider's buckets, for humans: what ``lua/admission.lua`` keeps, read and never written."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from redis.asyncio import Redis

from agentfleet.domain import admission as model
from agentfleet.domain.admission import Bucket, Gate, Pace
from agentfleet.engine.ports import BucketState, Survey

GATE = ("until", "every", "look_at", "since")


async def survey(redis: Redis, prefix: str, pace: Pace) -> Survey:
    """All buckets and parked accounts, at this moment. ``pace`` tells how much a bucket holds."""
    seconds, microseconds = await redis.time()  # pyright: ignore[reportUnknownMemberType]  # its keywords have no types
    now = float(seconds) + float(microseconds) / 1e6
    buckets = [_bucket_state(name, values, pace, now) for name, values in await _hashes(redis, f"{prefix}:bucket:")]
    gates = {name: _gate(values) for name, values in await _hashes(redis, f"{prefix}:account:")}
    parked = {name: gate.wait(now) for name, gate in gates.items() if gate.every > 0}
    return Survey(tuple(sorted(buckets, key=lambda bucket: bucket.name)), parked)


async def _hashes(redis: Redis, stem: str) -> Sequence[tuple[str, Mapping[str, float]]]:
    found: list[tuple[str, Mapping[str, float]]] = []
    keys = cast("AsyncIterator[bytes]", redis.scan_iter(f"{stem}*", count=1_000))  # pyright: ignore[reportUnknownMemberType]  # its keywords have no types
    async for key in keys:
        row = cast("dict[bytes, bytes]", await redis.hgetall(key))
        if row:
            values = {name.decode(): float(value) for name, value in row.items()}
            found.append((key.decode().removeprefix(stem), values))
    return found


def _bucket_state(name: str, values: Mapping[str, float], pace: Pace, now: float) -> BucketState:
    bucket = read_bucket(values)
    idle = now - bucket.used_at > pace.idle
    model.refill(bucket, pace, now)
    gate = bucket.gate
    return BucketState(
        name,
        known=bucket.known,
        limits=bucket.limits,
        levels=bucket.levels,
        share=pace.ramp_start if idle else model.share(bucket, now),
        queued=int(bucket.queued[0]) if now < bucket.queued_until else 0,
        shut_for=gate.wait(now),
        probed_for=max(now - gate.since, 0.0) if gate.every > 0 else 0.0,
    )


def read_bucket(values: Mapping[str, float]) -> Bucket:
    """A bucket as the script has saved it."""
    limits, levels, queued = (
        (values[f"{name}1"], values[f"{name}2"], values[f"{name}3"]) for name in ("limits", "levels", "queued")
    )
    return Bucket(
        limits,
        levels,
        *(values[name] for name in ("at", "used_at", "ramp_at", "ramp_from", "ramp_for")),
        known=bool(values["known"]),
        failing=int(values["failing"]),
        gate=_gate(values),
        queued_until=values["queued_until"],
        queued=queued,
        reads_count=bool(values.get("reads_count")),
    )


def _gate(values: Mapping[str, float]) -> Gate:
    return Gate(*(values.get(name, 0.0) for name in GATE))
