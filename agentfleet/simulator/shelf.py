"""Where the batches lie until they are deleted."""

from dataclasses import dataclass, field

from agentfleet.simulator.batch import Batch
from agentfleet.simulator.errors import ApiError


@dataclass(slots=True)
class Shelf:
    """All batches, oldest first, and those of them that have not ended."""

    all: dict[str, Batch] = field(default_factory=dict[str, Batch])
    open: dict[str, Batch] = field(default_factory=dict[str, Batch])

    def add(self, batch: Batch) -> None:
        """Put up a new one."""
        self.all[batch.id] = self.open[batch.id] = batch

    def find(self, organization: str, id_: str) -> Batch:
        """A batch of the organization, or 404."""
        batch = self.all.get(id_)
        if batch is None or batch.organization != organization:
            raise ApiError(404, f"Message Batch {id_} not found")
        return batch

    def of(self, organization: str) -> list[Batch]:
        """Those of an organization, newest first."""
        return [batch for batch in reversed(self.all.values()) if batch.organization == organization]

    def queued(self, organization: str) -> int:
        """How many requests of an organization are in process."""
        return sum(len(batch.items) for batch in self.open.values() if batch.organization == organization)

    def delete(self, batch: Batch) -> None:
        """Take it away; 400 while it is in process."""
        if batch.ended is None:
            raise ApiError.invalid(f"Message Batch {batch.id} is still processing; cancel it first")
        del self.all[batch.id]
