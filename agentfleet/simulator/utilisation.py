"""How much of every limit was used in a window: what a benchmark of admission compares."""

from agentfleet.simulator.buckets import Bucket, Buckets, Pool, Scope
from agentfleet.simulator.wire import Json


def utilisation(buckets: Buckets, since: float, until: float) -> Json:
    """`{"since", "until", "pools": [...]}`: a row for each organization and group that was called before `until`."""
    return {
        "since": since,
        "until": until,
        "pools": [_row(buckets, scope, since, until) for scope, pool in buckets.pools.items() if pool.made < until],
    }


def _row(buckets: Buckets, scope: Scope, since: float, until: float) -> Json:
    pool = buckets.pool(scope, until)
    since = max(since, pool.made)
    rows = {name.replace("-", "_"): _bucket(bucket, since, until) for name, bucket in pool.buckets.items()}
    return {
        "organization": scope[0],
        "group": scope[1],
        "seconds": until - since,
        "buckets": rows,
        "binding": max(rows, key=lambda name: rows[name]["share"]),
        **_refused(pool, since, until),
    }


def _bucket(bucket: Bucket, since: float, until: float) -> Json:
    """`share` is used / allowed.

    `allowed` is the refill of the window; what the bucket held at its start comes on top, and may push `share` over 1.
    Without waste, at_start + allowed = used + at_end; `spilled` is refill that came while the bucket was full.
    """
    meter = bucket.meter
    used, allowed, spilled = (figure(since, until) for figure in (meter.used, meter.allowed, meter.spilled))
    later = meter.used(until, bucket.at) + meter.spilled(until, bucket.at) - meter.allowed(until, bucket.at)
    at_end = bucket.level + later if bucket.at > until else bucket.level
    return {
        "limit": bucket.limit,
        "used": used,
        "allowed": allowed,
        "share": used / allowed if allowed else 0.0,
        "spilled": spilled,
        "at_start": at_end + used + spilled - allowed,
        "at_end": at_end,
    }


def _refused(pool: Pool, since: float, until: float) -> Json:
    codes = [code for at, code in pool.refused if since <= at <= until]
    ramped = codes.count("ramp_limit_exceeded")
    return {"rate_limited": len(codes) - ramped, "ramp_limited": ramped}
