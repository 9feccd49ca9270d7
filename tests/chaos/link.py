"""A TCP proxy on a thread of its own: the network between one process and one server, for breaking.

with Link(postgres_url) as link:
    fleet.start(database_url=link.url)
    link.blackhole()        # packets vanish both ways; nobody is told
    link.heal()
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 1 << 16


class Link:
    """Bytes flow between ``url`` and the server at ``target``, as long as nothing is broken."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._parts, self._to = parts, (parts.hostname, parts.port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._open = asyncio.Event()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        """Seconds that every chunk is held back, each way."""
        self.url = ""
        self.carried = 0
        """Bytes so far, both ways."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        """Carry everything again, also what was held up."""
        self._call(self._set(open_=True, refusing=False))

    def blackhole(self) -> None:
        """Hold everything up from now on; connections stay and new ones are accepted, but nothing passes."""
        self._call(self._set(open_=False, refusing=False))

    def reset(self) -> None:
        """Cut every connection (RST). The next ones work."""
        self._call(self._reset())

    def refuse(self) -> None:
        """Cut every connection, and every new one at once."""
        self._call(self._set(open_=True, refusing=True))
        self.reset()

    def retarget(self, target: str) -> None:
        """Lead new connections to another server, and cut the old ones: a failover behind one address."""
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._to = (parts.hostname, parts.port)
        self.reset()

    def _call(self, work: Coroutine[object, object, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(10)

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{login}@{host}:{port}" if login else f"{host}:{port}"))

    async def _set(self, *, open_: bool, refusing: bool) -> None:
        self._refusing = refusing
        (self._open.set if open_ else self._open.clear)()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        await self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._open.wait()
            if self._refusing:
                return
            upstream, server = await asyncio.open_connection(*self._to)
            self._writers.add(server)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, server))
                    both.create_task(self._carry(upstream, writer))
            finally:
                self._writers.discard(server)
                server.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass  # cut off, or closed
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side closes, which ends both."""
        while data := await reader.read(CHUNK):
            await asyncio.sleep(self.delay)
            await self._open.wait()
            self.carried += len(data)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
