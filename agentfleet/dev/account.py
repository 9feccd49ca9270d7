"""Where root may keep a server's files: PostgreSQL refuses to run as root, so it runs as an account without rights.

That account must reach both its data and its programs. A checkout below /root, say, is closed to it; then data and
programs live in a directory of root's own below the system's temporary directory.
"""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from agentfleet.dev.errors import EmbeddedError, EmbeddedUnavailable


class Account(NamedTuple):
    """A user of this machine, by number."""

    uid: int
    gid: int


def unprivileged(existing: Path) -> Account | None:
    """The account that a server must drop to: None unless we are root.

    The owner of `existing` data goes on owning it (a checkout may be used by its owner first and by root later).

    Raises:
        EmbeddedUnavailable: root on a machine without the accounts `postgres` and `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if existing.exists() and (owner := existing.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    reason = "PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody."
    raise EmbeddedUnavailable(reason)


def reaches(account: Account | None, path: Path) -> bool:
    """Whether `account` may enter `path` and every directory above it (None: we ourselves, who chose it)."""
    if account is None:
        return True
    path = path.resolve()
    return all(_may_enter(account, directory.stat()) for directory in (path, *path.parents))


def within_reach(account: Account | None, directory: Path) -> Path:
    """`directory`, made if need be, or where that is closed to `account`, a stand-in below the temporary directory."""
    directory.mkdir(parents=True, exist_ok=True)
    if account is None:
        return directory
    if directory.stat().st_uid == 0:  # ours: let others through, but not look inside
        directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    return directory if reaches(account, directory) else _stand_in(account, directory)


def programs_within_reach(account: Account | None, root: Path, *parts: str) -> Path:
    """`root`, or where that is closed to `account`, a copy of its `parts` (paths below it) that is open to all."""
    if all(reaches(account, root / part) for part in parts):
        return root
    made = (root / parts[0]).stat().st_mtime_ns  # another installation makes another copy
    copy = _stand_in(account, root / parts[0]) / f"programs-{made}"
    if not copy.exists():
        scratch = Path(tempfile.mkdtemp(dir=copy.parent))
        for part in parts:
            shutil.copytree(root / part, scratch / part, symlinks=True)
        for path in (scratch, *scratch.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            scratch.rename(copy)
        except OSError:  # another process made the same copy meanwhile
            shutil.rmtree(scratch)
            if not copy.exists():
                raise
    return copy


def _may_enter(account: Account, status: os.stat_result) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _stand_in(account: Account | None, path: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    stand_in = Path(tempfile.gettempdir()).resolve() / f"agentfleet-{digest}"
    stand_in.mkdir(mode=0o711, exist_ok=True)
    if stand_in.is_symlink() or stand_in.stat().st_uid != 0:  # anyone may have made it there before us
        message = f"{stand_in} does not belong to root: remove it, or set TMPDIR to another directory."
        raise EmbeddedError(message)
    if not reaches(account, stand_in):
        message = f"PostgreSQL, which does not run as root, can reach neither {path} nor {stand_in}: run as a user."
        raise EmbeddedUnavailable(message)
    return stand_in
