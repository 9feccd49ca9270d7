"""Run Claude agents as durable background work: one Celery task and one row of progress per step."""
