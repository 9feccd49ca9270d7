"""Flower, on our Celery app. ``python -m workers.flower [flower's options]``; its settings are FLOWER_* variables."""

import sys

from workers.app import app


def main() -> None:
    """Run the process."""
    app.start(["flower", "--enable-events", *sys.argv[1:]])


if __name__ == "__main__":
    main()
