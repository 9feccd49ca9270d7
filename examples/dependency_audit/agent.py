"""The dependency audit as an agent: what is this distribution, what does it need, and is there a risk in keeping it?

Run it for everything that is installed: `agentfleet demo`.
Run it for one distribution, with `agentfleet dev` beside it: `agentfleet run dependency-audit --input click`.
"""

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, Field

from agentfleet import Agent, Budget
from examples.dependency_audit.tools import declared_requirements, find_license, list_files, read_metadata, total_size


class AuditReport(BaseModel):
    """What the audit found about one distribution."""

    distribution: str = Field(description="Its name, as its metadata spells it.")
    version: str
    license: str | None = Field(description="As find_license says; null when it says none.")
    size_bytes: int = Field(description="As total_size says.")
    file_count: int = Field(description="As list_files says.")
    requirements: list[str] = Field(description="As declared_requirements says, in its order.")
    missing_requirements: list[str] = Field(description="As declared_requirements says.")
    risk: Literal["low", "medium", "high"]
    why: str = Field(description="One sentence.")


dependency_audit = Agent(
    name="dependency-audit",
    model="claude-haiku-5-5",
    instructions="""You do a dependency audit of one installed Python distribution, which the user names.

Call read_metadata first. Then call list_files, declared_requirements, find_license and total_size together.
Then report. Copy facts exactly as the tools give them; never fill a gap from memory.
Risk: every one of these raises it from low by one level, to high at most: no licence, a requirement that is not
installed, more than 50 MiB on disk.""",
    tools=[read_metadata, list_files, declared_requirements, find_license, total_size],
    output_type=AuditReport,
    budget=Budget(max_steps=30, max_tool_calls=20, max_cost_usd=0.05, deadline=timedelta(minutes=30)),
)
