"""The server of an earlier session that was killed: it must be gone before another works on the same data."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from agentfleet.dev.child import POLL_SECONDS, STOP_SECONDS
from agentfleet.dev.errors import EmbeddedBusy


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


def _works_in(pid: int, directory: Path) -> bool:
    if sys.platform != "linux":
        message = f"Process {pid} may still serve {directory}: stop it (kill {pid}) and start again."
        raise EmbeddedBusy(message)
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except (FileNotFoundError, PermissionError, ProcessLookupError):  # gone, or a zombie; or another user's
        return False
