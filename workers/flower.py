"""Flower, on our Celery app. ``python -m workers.flower [flower's options]``; its settings are FLOWER_* variables."""

import sys

from agentfleet.telemetry import logs
from workers.app import app, settings


def main() -> None:
    """Show the workers until told to stop, with the settings of the environment."""
    logs.configure(settings.log_level, settings.log_format, process="flower")
    app.start(["flower", "--enable-events", *sys.argv[1:]])


if __name__ == "__main__":
    main()
