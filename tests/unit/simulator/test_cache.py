"""Prompt cache accounting against a clock the test moves."""

from typing import Any

from agentfleet.simulator.cache import PromptCache, Split
from agentfleet.simulator.prefix import read_prefix

SCOPE = ("org", "model")
PAGE = "x" * 4000  # 1000 tokens


def text(content: str, ttl: str | None = None) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": content}
    return block | {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else block


def body(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}], **more}


def call(cache: PromptCache, request: dict[str, Any], now: float = 0) -> Split:
    split = cache.split(SCOPE, read_prefix(request), now)
    cache.store(SCOPE, split, now)
    return split


def test_without_a_marker_nothing_is_cached() -> None:
    cache = PromptCache(min_tokens=0)
    assert [call(cache, body(text(PAGE))) for _ in range(2)] == [Split(fresh=1000)] * 2


def test_a_marked_prefix_is_written_then_read() -> None:
    cache = PromptCache(min_tokens=0)
    request = body(text(PAGE, "5m"), text(PAGE))
    first, second = call(cache, request), call(cache, request)
    assert (first.written_5m, first.read, first.fresh) == (1000, 0, 1000)
    assert (second.written_5m, second.read, second.fresh) == (0, 1000, 1000)
    assert (first.limited, second.limited) == (2000, 1000)


def test_an_entry_dies_after_its_ttl_and_a_read_renews_it() -> None:
    cache = PromptCache(min_tokens=0)
    request = body(text(PAGE, "5m"))
    call(cache, request, now=0)
    assert call(cache, request, now=299).read == 1000
    assert call(cache, request, now=590).read == 1000
    assert call(cache, request, now=900).read == 0


def test_an_hour_is_an_hour_and_counted_apart() -> None:
    cache = PromptCache(min_tokens=0)
    request = body(text(PAGE, "1h"), text(PAGE, "5m"))
    first = call(cache, request)
    assert (first.written_1h, first.written_5m) == (1000, 1000)
    later = call(cache, request, now=3000)
    assert (later.read, later.written_1h, later.written_5m) == (1000, 0, 1000)


def test_a_short_prefix_is_never_cached() -> None:
    cache = PromptCache(min_tokens=1024)
    assert [call(cache, body(text(PAGE, "5m"))) for _ in range(2)] == [Split(fresh=1000)] * 2


def test_siblings_that_start_together_all_miss() -> None:
    cache = PromptCache(min_tokens=0)
    prefix = read_prefix(body(text(PAGE, "5m")))
    together = [cache.split(SCOPE, prefix, 0) for _ in range(3)]
    assert [split.read for split in together] == [0, 0, 0]


def test_models_and_organizations_do_not_share_entries() -> None:
    cache = PromptCache(min_tokens=0)
    prefix = read_prefix(body(text(PAGE, "5m")))
    cache.store(SCOPE, cache.split(SCOPE, prefix, 0), 0)
    assert cache.split(("org", "other"), prefix, 0).read == 0
    assert cache.split(("other", "model"), prefix, 0).read == 0


def test_a_breakpoint_looks_back_twenty_blocks_and_no_further() -> None:
    cache = PromptCache(min_tokens=0)
    call(cache, body(text(PAGE, "5m")))

    def read_after(blocks: int) -> int:
        more = [text("y") for _ in range(blocks - 1)]
        return cache.split(SCOPE, read_prefix(body(text(PAGE), *more, text("z", "5m"))), 0).read

    assert (read_after(19), read_after(20)) == (1000, 0)


def test_a_top_level_marker_marks_the_last_block() -> None:
    cache = PromptCache(min_tokens=0)
    request = body(text(PAGE), text(PAGE), cache_control={"type": "ephemeral"})
    assert call(cache, request).written_5m == 2000
    assert call(cache, request).read == 2000


def test_key_order_in_a_tool_call_is_part_of_the_prefix() -> None:
    one = read_prefix(body({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1, "b": 2}}))
    other = read_prefix(body({"type": "tool_use", "id": "t", "name": "n", "input": {"b": 2, "a": 1}}))
    assert one.digest != other.digest


def test_a_string_and_a_text_block_are_the_same_prefix() -> None:
    plain = {"messages": [{"role": "user", "content": "hello"}]}
    assert (
        read_prefix(plain).digest
        == read_prefix(body(text("hello"))).digest
        == read_prefix(body(text("hello", "5m"))).digest
    )
