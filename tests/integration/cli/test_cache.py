"""`agentfleet cache` reads the shelf, and makes void what is on it."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from agentfleet.caching.reuse import Reuse
from agentfleet.caching.shelf import Shelf, Wanted
from agentfleet.cli.main import main

WANTED = Wanted(
    "answer", "shop", "d", Reuse(ttl=timedelta(hours=1), tags=["catalogue"]), ("bundle:b_1", "agent:shop", "tenant:t1")
)


def call(redis_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments], env={"AGENTFLEET_REDIS_URL": redis_url})


def look(redis_url: str) -> bool:
    """Look for the answer, keep one if there is none; whether there was one."""

    async def looking() -> bool:
        async with Redis.from_url(redis_url) as redis:
            shelf = Shelf(redis, prefix="agentfleet", patience=5, cap=1_000_000)
            async with shelf.look(WANTED) as place:
                if place.value is None:
                    await place.keep(b"x")
                return place.value is not None

    return asyncio.run(looking())


@pytest.fixture
def stocked(redis_url: str) -> str:
    """A Redis with one answer that was used once; its URL."""
    assert [look(redis_url), look(redis_url)] == [False, True]
    return redis_url


@pytest.fixture
def redis_url(server_urls) -> str:  # these tests have no event loop of their own
    async def empty() -> None:
        async with Redis.from_url(server_urls.redis_url) as redis:
            await redis.flushall()

    asyncio.run(empty())
    return server_urls.redis_url


@pytest.mark.parametrize(
    "option", [["--agent", "shop"], ["--bundle", "b_1"], ["--tag", "catalogue"], ["--tenant", "t1"], ["--all"]]
)
def test_what_is_named_is_not_used_again(stocked: str, option: list[str]):
    result = call(stocked, "invalidate", *option)
    assert result.exit_code == 0, result.output
    assert not look(stocked)
    assert look(stocked)


def test_what_is_not_named_stays(stocked: str):
    result = call(stocked, "invalidate", "--agent", "other", "--tool", "shop", "--tag", "news", "--tag", "weather")
    assert "agent:other, tool:shop, tag:news, tag:weather" in result.stdout
    assert look(stocked)


def test_the_stock_is_told(stocked: str):
    said = call(stocked, "stats").stdout
    assert said.splitlines()[1].split() == ["answer", "shop", "1", "1"]
    assert "1 answers in " in said


def test_deleting_everything_says_how_much_it_was(stocked: str):
    assert call(stocked, "invalidate", "--all").stdout == "1 answers were deleted.\n"


def test_saying_nothing_is_answered_with_what_can_be_said(redis_url: str):
    result = call(redis_url, "invalidate")
    assert result.exit_code == 2
    assert "--tag" in result.stderr


def test_without_redis_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "Redis does not answer" in call("redis://127.0.0.1:9", "stats").stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTFLEET_REDIS_URL", raising=False)
    result = CliRunner().invoke(main, ["cache", "stats"])
    assert "AGENTFLEET_REDIS_URL is not set" in result.stderr
