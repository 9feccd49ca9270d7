"""Server processes that end with us: spawn, wait until ready, stop, and clear away what an earlier session left.

On Linux the kernel ends a child when the thread that spawned it is gone, so a parent that dies by SIGKILL leaves
nothing behind. A child that is still on its way out is found by the next start through its pid file.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agentfleet.dev.account import Account
from agentfleet.dev.errors import EmbeddedBusy, ServerFailed

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
) -> Server:
    """Start `command` in `directory`, out of reach of the terminal's Ctrl-C, with its output in `log` (begun anew).

    `stdin` must fit into a pipe (64 KiB). Call this from a thread that lives as long as the server shall.
    """
    parent = os.getpid()

    def end_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died before the call: no signal will come
            os._exit(1)

    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=directory,
            env=ENVIRONMENT,
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
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(stop, server, signal.SIGTERM)
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                message = f"{server.args!r} did not start:\n{log.read_text(errors='replace')[-LAST_WORDS:]}"
                raise ServerFailed(message)
            time.sleep(POLL_SECONDS)
        on_failure.pop_all()


def stop(server: Server, gentle: signal.Signals) -> None:
    """Ask the server to end, insist after STOP_SECONDS, return when it is gone."""
    server.send_signal(gentle)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def end_leftover(pid_file: Path, directory: Path, gentle: signal.Signals) -> None:
    """End the server of an earlier session that `pid_file` names, if it still works in `directory`.

    The number alone proves nothing, the kernel may have given it to another process: then the file is removed.
    """
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):  # a server removes the stale file of a dead one itself
        return
    except PermissionError:  # alive, and another user's
        pid_file.unlink()
        return
    if not _works_in(pid, directory):
        pid_file.unlink()
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, gentle)
        deadline = time.monotonic() + STOP_SECONDS
        while _works_in(pid, directory):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def on_free_port(launch: Callable[[int], str]) -> str:
    """`launch(port)` with a free port of 127.0.0.1; again with another when it raises ServerFailed.

    The port was free a moment ago: another program may take it before the server does.
    """
    for _ in range(PORT_ATTEMPTS - 1):
        with contextlib.suppress(ServerFailed):
            return launch(_free_port())
    return launch(_free_port())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _works_in(pid: int, directory: Path) -> bool:
    if sys.platform != "linux":
        message = f"Process {pid} may still serve {directory}: stop it (kill {pid}) and start again."
        raise EmbeddedBusy(message)
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except (FileNotFoundError, PermissionError, ProcessLookupError):  # gone, or a zombie; or another user's
        return False
