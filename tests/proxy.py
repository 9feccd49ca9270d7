"""A TCP proxy between a process and Postgres that fails at a chosen moment: the connection lost in a COMMIT."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from sqlalchemy.engine import make_url

Cut = Literal["before", "after"]


class Proxy:
    """``url`` is the database through the proxy."""

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._cut: Cut | None = None
        self._marker = b""
        self._swallow: asyncio.Event | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.url = ""
        self.away = False
        """Refuses everybody, and forgets those who are connected."""

    def cut_next(self, when: Cut, marker: bytes = b"") -> None:
        """Lose the connection of the next request with ``marker`` in it: ``before`` the server gets it, or ``after`` it
        has answered. A statement outside a transaction is its own commit; of others, the marker is ``COMMIT``.
        """
        self._cut, self._marker = when, marker

    def leave(self) -> None:
        """The database is gone."""
        self.away = True
        for writer in list(self._writers):
            writer.transport.abort()

    def cut(self) -> None:
        """Lose every connection, in whatever they are doing. The next ones work."""
        self.cuts += len(self._writers) // 2
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        upstream, server = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, server}
        try:
            await asyncio.gather(self._requests(reader, server), self._answers(upstream, writer))
        except (OSError, EOFError):
            pass
        finally:
            self._writers -= {writer, server}
            writer.transport.abort()
            server.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            cut = self._cut if self._marker in data else None
            if cut is not None:
                self._cut = None
            if cut == "before":
                self.cuts += 1
                raise EOFError
            if cut == "after":
                self._swallow = asyncio.Event()
                server.write(data)
                await self._swallow.wait()  # the answer has come, so the commit has happened
                self.cuts += 1
                raise EOFError
            server.write(data)
        raise EOFError

    async def _answers(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(1 << 16):
            if self._swallow is not None:
                self._swallow.set()
                self._swallow = None
            else:
                writer.write(data)
        raise EOFError


@asynccontextmanager
async def proxied(database_url: str) -> AsyncGenerator[Proxy]:
    """A proxy on a free port."""
    proxy = Proxy(database_url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.url = make_url(database_url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    try:
        yield proxy
    finally:
        proxy.leave()
        server.close()
        with contextlib.suppress(Exception):
            await server.wait_closed()
