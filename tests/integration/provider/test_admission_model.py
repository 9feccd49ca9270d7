"""The arithmetic in Redis is that of the domain, whatever happens in whatever order."""

from dataclasses import dataclass
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from agentfleet.domain import admission as model
from agentfleet.domain.admission import Bucket, Gate, Heard, Pace

SCRIPT = resources.files("agentfleet.provider").joinpath("lua", "admission.lua").read_text("utf-8")
FIELDS = ("at", "used_at", "ramp_at", "ramp_from", "ramp_for", "known", "failing", "queued_until", "reads_count")
GATE = ("until", "every", "look_at", "since")

amounts = st.tuples(st.just(1.0), st.floats(0, 50_000), st.floats(0, 20_000))
told = st.tuples(*[st.none() | st.floats(1, 1e6)] * 3)
seconds = st.floats(0.001, 300)
paces = st.builds(
    Pace,
    burst=st.floats(0.5, 60),
    ramp_start=st.floats(0.01, 1),
    ramp=st.floats(0.5, 60),
    idle=st.floats(1, 100),
    probe=st.floats(0.5, 60),
    turn=st.floats(0.5, 5),
    caps=st.just(model.UNLIMITED) | st.tuples(*[st.floats(1, 1e6)] * 3),
)
moves = st.one_of(
    st.tuples(st.just("admit"), st.lists(amounts, min_size=1, max_size=4), st.none() | amounts),
    st.tuples(st.just("settle"), amounts, amounts),
    st.tuples(st.just("listen"), told, told, st.none() | st.booleans()),
    st.tuples(st.just("limited"), seconds, st.booleans()),
    st.tuples(st.just("overloaded")),
    st.tuples(st.just("succeeded"), st.floats(0, 200)),
    st.tuples(st.just("park"), seconds),
)


@dataclass
class Pair:
    """A bucket in Redis and one in the model, moved together."""

    redis: Redis
    pace: Pace
    now: float = 1_700_000_000.0

    def __post_init__(self) -> None:
        self.redis.flushdb()
        self.script = self.redis.register_script(SCRIPT)
        self.account = Gate()
        self._bucket: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        """Made by whoever comes first, as in Redis."""
        if self._bucket is None:
            self._bucket = model.new_bucket(self.pace, self.now)
        return self._bucket

    def run(self, operation: str, *arguments: object) -> list[bytes] | None:
        pace = [self.pace.burst, self.pace.ramp_start, self.pace.ramp, self.pace.idle, self.pace.probe, self.pace.turn]
        head = [operation, repr(self.now), *map(repr, pace), *map(repr, self.pace.caps)]
        return self.script(keys=["bucket", "account"], args=[*head, *arguments])

    def move(self, name: str, *arguments) -> None:
        bucket, account, pace, now = self.bucket, self.account, self.pace, self.now
        match name:
            case "admit":
                needs, served = arguments
                expected = model.admit(bucket, account, needs, pace, now, served=served)
                queue = ["0", 0, 0, 0] if served is None else ["1", *map(repr, served)]
                flat = [value for number, need in enumerate(needs) for value in (number, *map(repr, need))]
                count, *rest = self.run("admit", *queue, "", 0, *flat)
                assert count == expected.count
                assert [float(wait) for wait in rest[5:]] == pytest.approx(expected.waits)
            case "settle":
                model.settle(bucket, *arguments, pace, now)
                self.run(name, *(repr(value) for axes in arguments for value in axes))
            case "listen":
                model.listen(bucket, Heard(*arguments), pace, now)
                *told, counts = arguments
                flat = ["" if value is None else repr(value) for axes in told for value in axes]
                self.run(name, *flat, "" if counts is None else int(counts))
            case "limited":
                model.limited(bucket, arguments[0], pace, now, growth=arguments[1])
                self.run(name, repr(arguments[0]), int(arguments[1]))
            case "park":
                account.probe(arguments[0], now)
                self.run(name, repr(arguments[0]))
            case "overloaded":
                model.overloaded(bucket, pace, now)
                self.run(name)
            case "succeeded":
                begun = now - arguments[0]
                model.succeeded(bucket, account, pace, now, begun=begun)
                self.run(name, repr(begun))

    def stored(self) -> Bucket:
        values = {name.decode(): float(value) for name, value in self.redis.hgetall("bucket").items()}
        triples = {
            name: tuple(values[f"{name}{axis}"] for axis in (1, 2, 3)) for name in ("limits", "levels", "queued")
        }
        plain = {name: values[name] for name in FIELDS}
        return Bucket(**triples, **plain, gate=Gate(*(values[name] for name in GATE)))


def flat(bucket: Bucket) -> list[float]:
    plain = [float(getattr(bucket, name)) for name in FIELDS]
    return [*plain, *gate_of(bucket.gate), *bucket.limits, *bucket.levels, *bucket.queued]


def gate_of(gate: Gate) -> list[float]:
    return [getattr(gate, name) for name in GATE]


@pytest.fixture
def client(server_urls):
    with Redis.from_url(server_urls.redis_url) as redis:
        yield redis


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pace=paces, history=st.lists(st.tuples(st.floats(0, 120), moves), min_size=1, max_size=12))
def test_redis_does_what_the_model_says(client, pace, history):
    pair = Pair(client, pace)
    for later, (name, *arguments) in history:
        pair.now += later
        pair.move(name, *arguments)
        if pair.redis.exists("bucket"):
            assert flat(pair.stored()) == pytest.approx(flat(pair.bucket), rel=1e-9, abs=1e-5)
        assert [float(value or 0) for value in pair.redis.hmget("account", GATE)] == gate_of(pair.account)
