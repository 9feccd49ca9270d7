"""The memory of keys: short, bounded, and never wrong for longer than it says."""

from dataclasses import dataclass, field

import pytest

from agentfleet.api import auth
from agentfleet.api.auth import REMEMBER_HIT, REMEMBER_MISS, Authenticator
from agentfleet.store.api_keys import Principal

ACME = Principal("key-1", "acme")


def make(n: int) -> str:
    return f"af_{n:040}"


@dataclass
class World:
    """The keys there are, how often somebody looked, and the time."""

    keys: dict[str, Principal] = field(default_factory=dict)
    looks: int = 0
    now: float = 1_000.0

    async def lookup(self, key: str) -> Principal | None:
        self.looks += 1
        return self.keys.get(key)


@pytest.fixture
def world() -> World:
    return World({make(1): ACME})


@pytest.fixture
def authenticate(world: World) -> Authenticator:
    return Authenticator(world.lookup, clock=lambda: world.now)


async def test_a_known_key_is_looked_up_once_in_its_time(world: World, authenticate: Authenticator) -> None:
    for _ in range(3):
        assert await authenticate(make(1)) == ACME
    assert world.looks == 1
    world.now += REMEMBER_HIT
    await authenticate(make(1))
    assert world.looks == 2


async def test_a_revoked_key_stops_working_within_its_time(world: World, authenticate: Authenticator) -> None:
    await authenticate(make(1))
    world.keys.clear()
    world.now += REMEMBER_HIT
    assert await authenticate(make(1)) is None


async def test_a_new_key_works_soon_after_a_try_that_came_too_early(world: World, authenticate: Authenticator) -> None:
    assert await authenticate(make(2)) is None
    world.keys[make(2)] = ACME
    assert await authenticate(make(2)) is None
    world.now += REMEMBER_MISS
    assert await authenticate(make(2)) == ACME


@pytest.mark.parametrize(
    "key", ["", "af_", "sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaa", "af_" + "x" * 500, make(1) + "\n", make(1) + "\u00e9"]
)
async def test_what_cannot_be_a_key_never_reaches_the_database(
    world: World, authenticate: Authenticator, key: str
) -> None:
    assert await authenticate(key) is None
    assert world.looks == 0


async def test_guesses_do_not_push_real_keys_out(
    world: World, authenticate: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 10)
    await authenticate(make(1))
    for n in range(100, 150):
        await authenticate(make(n))
    looks = world.looks
    assert await authenticate(make(1)) == ACME
    assert world.looks == looks
    assert len(authenticate._misses) == 10
