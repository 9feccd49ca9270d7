"""Server processes that end with us: spawn, wait until ready, stop.

On Linux the kernel ends a child when the thread that spawned it is gone, so a parent that dies by SIGKILL leaves
nothing behind. A child that is still on its way out then, is met by the next start in leftover.py.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from agentfleet.dev.account import Account
from agentfleet.dev.errors import ServerFailed

Server = subprocess.Popen[bytes]

# What a server sees of our environment: nothing. The user's PGPORT or LD_PRELOAD are not meant for it.
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}

POLL_SECONDS = 0.01
START_SECONDS = 120  # recovery after a crash replays the log first
STOP_SECONDS = 60  # a last checkpoint on a slow disk
PORT_ATTEMPTS = 3
LAST_WORDS = 2000  # characters of the log that an error quotes

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str | Path],
    directory: Path,
    log: Path,
    *,
    account: Account | None = None,
    stdin: bytes = b"",
    death_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] = ENVIRONMENT,
    append: bool = False,
) -> Server:
    """Start `command` in `directory`, out of reach of the terminal's Ctrl-C, with its output in `log`.

    The log is begun anew unless `append`. `stdin` must fit into a pipe (64 KiB). Call this from a thread that lives as
    long as the server shall.
    """
    parent = os.getpid()

    def end_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died before the call: no signal will come
            os._exit(1)

    with log.open("ab" if append else "wb") as output:
        server = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - runs after the change of user, which would undo the prctl
        )
    if server.stdin is not None:
        with contextlib.suppress(BrokenPipeError), server.stdin:  # it ended already: wait_until says why
            server.stdin.write(stdin)
    return server


def wait_until(ready: Callable[[], bool], server: Server, log: Path) -> None:
    """Return once `ready()`; whatever prevents that, the server does not run on.

    Raises:
        ServerFailed: the server ended, or was not ready after START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    with _stopped_on_failure(server):
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise _failure(server, log)
            time.sleep(POLL_SECONDS)


def wait_for_end(program: Server, log: Path) -> None:
    """Return once `program` has ended well; whatever prevents that, it does not run on.

    Raises:
        ServerFailed: it ended badly, or not within START_SECONDS.
    """
    with _stopped_on_failure(program):
        try:
            status = program.wait(START_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise _failure(program, log) from error
        if status != 0:
            raise _failure(program, log)


def stop(server: Server, gentle: signal.Signals) -> None:
    """Ask the server to end, insist after STOP_SECONDS, return when it is gone."""
    server.send_signal(gentle)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def on_free_port(launch: Callable[[int], str]) -> str:
    """`launch(port)` with a free port of 127.0.0.1; again with another when it raises ServerFailed.

    The port was free a moment ago: another program may take it before the server does.
    """
    for _ in range(PORT_ATTEMPTS - 1):
        with contextlib.suppress(ServerFailed):
            return launch(free_port())
    return launch(free_port())


@contextlib.contextmanager
def _stopped_on_failure(server: Server) -> Generator[None]:
    try:
        yield
    except BaseException:
        stop(server, signal.SIGTERM)
        raise


def _failure(server: Server, log: Path) -> ServerFailed:
    return ServerFailed(f"{server.args!r} failed:\n{log.read_text(errors='replace')[-LAST_WORDS:]}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
