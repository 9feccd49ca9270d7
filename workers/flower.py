"""Flower, on our Celery app. ``python -m workers.flower [flower's options]``; its settings are FLOWER_* variables.

It starts only with credentials. Who gives it a file for its history, FLOWER_DB, finds that again after a restart.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flower.command import apply_env_options, apply_options
from tornado.options import options

from agentfleet.broker.app import make_app
from agentfleet.broker.flower_pages import format_task, link_to
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings, environment
from agentfleet.telemetry import logs
from agentfleet.telemetry.metrics import STEP_BUCKETS

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
OURS: dict[str, Any] = {
    "format_task": format_task,
    "tasks_columns": "uuid,name,args,state,received,runtime,worker",
    "task_runtime_metric_buckets": [float(bound) for bound in STEP_BUCKETS],
    "max_tasks": 10_000,  # 40 MB; all of them are written when the history is saved, which takes a second or two
    "purge_offline_workers": 300,  # s: workers go with every deploy and every scale-in
    "state_save_interval": 300_000,  # ms: what a kill may cost of the history; an orderly end saves it
}
"""Options of Flower whose defaults are for small clusters. Variables and arguments win over them."""


def main() -> None:
    """Show the workers until told to stop, with the settings of the environment."""
    settings = Settings()
    configure(sys.argv[1:])
    check_access(options.basic_auth, options.auth, options.address, open_=settings.flower_open)
    check_history()
    logs.configure(settings.log_level, settings.log_format, process="flower")
    link_to(settings.public_url)
    # The doorbell's scheme is ours alone, and Flower only listens: over the stock transport it can tell queue lengths.
    app = make_app(settings.model_copy(update={"transport": "redis"}))
    app.start(["flower", *sys.argv[1:]])


def configure(arguments: list[str]) -> None:
    """Read Flower's options from our defaults, the environment and ``arguments``, as Flower will do once more."""
    for name, value in OURS.items():
        setattr(options, name, value)
    nowhere = options.db
    apply_env_options()
    apply_options(sys.argv[0], arguments)
    options.persistent = options.persistent or options.db != nowhere


def check_access(logins: Sequence[str], emails: str, address: str, *, open_: bool) -> None:
    """Raise ``InvalidInput`` when somebody might stop workers without having logged in.

    ``logins`` are ``user:password``, ``emails`` is the pattern of those who may come by OAuth; ``open_`` lets everybody
    look who reaches ``address``, which has to be this machine.
    """
    if environment("FLOWER_UNAUTHENTICATED_API"):
        raise InvalidInput(
            "FLOWER_UNAUTHENTICATED_API",
            "must not be set: with it, every web page that somebody here opens may stop workers and cancel runs",
        )
    if not all(re.fullmatch("[^:]+:.+", login) for login in logins):
        raise InvalidInput("FLOWER_BASIC_AUTH", "must be user:password, or several of them with commas between")
    if logins or emails:
        return
    if not open_:
        raise InvalidInput(
            "FLOWER_BASIC_AUTH",
            "is not set: whoever reaches Flower could stop workers and cancel every tenant's runs. Set user:password,"
            " or FLOWER_AUTH and FLOWER_AUTH_PROVIDER for a login by OAuth, or, on your own machine,"
            " FLOWER_ADDRESS=127.0.0.1 and AGENTFLEET_FLOWER_OPEN=true",
        )
    if address not in LOOPBACK:
        raise InvalidInput(
            "AGENTFLEET_FLOWER_OPEN", f"needs FLOWER_ADDRESS=127.0.0.1, not {address or 'every address'}: others log in"
        )


def check_history() -> None:
    """Raise ``InvalidInput`` when the history cannot be kept where it was told to be; else the loss shows up late."""
    directory = Path(options.db).absolute().parent
    if options.persistent and not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidInput(
            "FLOWER_DB", f"must be a file in a directory that can be written to, which {directory} is not"
        )


if __name__ == "__main__":
    main()
