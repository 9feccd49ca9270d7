"""The step task. Its ``Strategy`` takes the message before Celery's tracer would."""

from typing import Any

from celery import Task

from agentfleet.broker.names import STEP_TASK


class StepTask(Task):
    """One message is one step."""

    name = STEP_TASK
    Strategy = "agentfleet.broker.strategy:step_strategy"
    ignore_result = True
    acks_late = True

    def run(self, step_id: str) -> Any:
        """Never called by a step worker; says so to whoever calls it."""
        raise RuntimeError(f"step {step_id} runs only in a step worker (python -m workers.steps)")
