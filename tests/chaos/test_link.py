"""The breakable network itself."""

import socket
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Silent

from tests.chaos.link import Link


@pytest.fixture
def link(redis_url):
    with Link(redis_url) as link:
        yield link


def client(link: Link) -> Redis:
    return Redis.from_url(link.url, socket_timeout=0.2, retry=None)


def test_it_carries_bytes_both_ways(link):
    with client(link) as redis:
        redis.set("a", "b" * 100_000)
        assert len(redis.get("a")) == 100_000
    assert link.carried > 200_000


def test_a_black_hole_says_nothing_and_loses_nothing(link):
    with client(link) as redis, client(link) as later:
        redis.ping()
        link.blackhole()
        for one in (redis, later):
            with pytest.raises((Silent, Lost)):
                one.ping()
        link.heal()
        assert redis.ping()
        assert later.ping()


def dial(link: Link) -> socket.socket:
    url = urlsplit(link.url)
    return socket.create_connection((url.hostname, url.port), timeout=5)


def ended(connection: socket.socket) -> bool:
    """Whether the other side has cut the connection, for which this waits."""
    try:
        connection.sendall(b"PING\r\n")
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_a_cut_connection_is_noticed_and_the_next_one_works(link):
    with dial(link) as cut:
        assert not ended(cut)
        link.reset()
        assert ended(cut)
    with dial(link) as fresh:
        assert not ended(fresh)
        link.refuse()
        assert ended(fresh)
    with dial(link) as refused:
        assert ended(refused)
    link.heal()
    with dial(link) as welcome:
        assert not ended(welcome)


def test_it_outlives_what_it_leads_to(link, redis_url, unused_tcp_port):
    link.retarget(f"redis://127.0.0.1:{unused_tcp_port}")
    with dial(link) as lost:
        assert ended(lost)
    link.retarget(redis_url)
    with dial(link) as found:
        assert not ended(found)
