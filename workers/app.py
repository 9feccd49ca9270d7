"""The Celery app of step workers and of Flower: ``celery -A workers.app ...``."""

from agentfleet.broker.app import make_app
from agentfleet.settings import Settings

settings = Settings()
app = make_app(settings)
