"""Databases that no template has touched."""

from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
from psycopg import sql

from agentfleet.dev.embedded import Urls
from tests.conftest import with_database

_numbers = count(1)


@pytest.fixture
def empty_database(server_urls: Urls) -> Iterator[Callable[[], str]]:
    """Makes databases without any table; returns their URLs."""
    names: list[str] = []
    with psycopg.connect(server_urls.database_url, autocommit=True) as connection:

        def make() -> str:
            names.append(f"agentfleet_empty_{connection.info.backend_pid}_{next(_numbers)}")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names[-1])))
            return with_database(server_urls.database_url, names[-1])

        yield make
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
