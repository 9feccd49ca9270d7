"""Group commit inside one process: concurrent callers share a statement.

A flush starts at once when nobody else flushes, so an idle process pays no latency; while flushes are under way callers
pile up and the next flush takes them all, so a busy process batches by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls ``flush`` with many items; each caller gets the result of its own.

    ``flush`` returns one result per item, in order. An error of a class in ``splits`` (bad data, not a bad connection)
    makes the batch be tried in halves, so that one unwritable item fails alone. Belongs to one event loop.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_items: int = 200,
        max_flushes: int = 2,
        splits: tuple[type[Exception], ...] = (),
    ) -> None:
        self._flush = flush
        self._max_items, self._max_flushes, self._splits = max_items, max_flushes, splits
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._flushes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Result:
        """Add ``item`` to the next flush and wait for its result; raises what the flush raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((item, future))
        if self._flushes < self._max_flushes:
            self._flushes += 1
            task = asyncio.create_task(self._drain(), context=Context())  # many callers, so none
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending[: self._max_items], self._pending[self._max_items :]
                await self._run(batch)
        finally:
            # In the same breath as finding nothing pending: an item that comes between that and a task's done callback
            # would see a flush that no longer looks, and wait for ever.
            self._flushes -= 1

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except self._splits as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                middle = len(batch) // 2
                await self._run(batch[:middle])
                await self._run(batch[middle:])
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: list[tuple[Item, asyncio.Future[Result]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
