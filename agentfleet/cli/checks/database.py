"""Postgres: reachable, new enough, migrated, with its roles, and not piling up work."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from agentfleet.cli.checks.clock import skew
from agentfleet.cli.checks.finding import Finding, fail, ok, warn
from agentfleet.cli.checks.privacy import plain
from agentfleet.settings import Settings
from agentfleet.store.checkup import OLDEST_VERSION, Checkup, Way, check_up
from agentfleet.store.database import UNAVAILABLE
from agentfleet.store.migrate import is_newer, serves
from agentfleet.store.trust import REMEDY, distrusted

LONG = 60.0
"""Seconds that a step should not have to wait for a dispatcher."""


def check_database(settings: Settings) -> Iterator[Finding]:
    """Findings about the database."""
    url = settings.database_url
    if url is None:
        do = "set it to postgresql://user:password@host/db, or use `agentfleet dev`, which brings a Postgres along"
        yield fail("database", "AGENTFLEET_DATABASE_URL is not set", do)
        return
    where = place(url)
    before = time.time()  # noqa: TID251 - comparing clocks is the point
    try:
        found = check_up(url, settings.database_direct_url)
    except (*UNAVAILABLE, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        do = "check AGENTFLEET_DATABASE_URL, that Postgres runs there, and that this machine may connect"
        if distrusted(getattr(error, "orig", None) or error):
            do = f"in AGENTFLEET_DATABASE_URL: {REMEDY}"
        yield fail("database", f"no connection to {where}: {reason}", do)
        return
    yield ok("database", f"reachable at {where}")
    yield skew("Postgres", found.now.timestamp(), before, time.time())  # noqa: TID251 - comparing clocks is the point
    yield _privacy(found.way)
    yield _sessions(found.way, direct=settings.database_direct_url is not None)
    yield from _schema(found, set_role=settings.set_role)
    yield from _load(found)


def place(url: str) -> str:
    """Where a URL points, without the password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'a socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _privacy(way: Way) -> Finding:
    do = "add ?sslmode=verify-full&sslrootcert=/path/ca.pem to the URL"
    if not way.encrypted:
        return plain("database encryption", [way.host if not way.host.startswith("/") else ""], do)
    if not way.verified:
        return warn("database encryption", "TLS, with whoever answers there: its certificate is not checked", do)
    return ok("database encryption", "TLS, and its certificate is checked")


def _sessions(way: Way, *, direct: bool) -> Finding:
    name, set_it = "pooler", "set AGENTFLEET_DATABASE_DIRECT_URL to the URL of Postgres itself"
    if way.same is False:
        return fail(name, "AGENTFLEET_DATABASE_DIRECT_URL leads to another database", set_it)
    if not way.pooled:
        return ok(name, "none")
    if not way.shared:
        return ok(name, "there is one, and it keeps sessions apart")
    if not direct:
        return fail(name, "in transaction mode: leaders and migrations need sessions of their own", set_it)
    return ok(name, "in transaction mode; leaders and migrations go past it")


def _schema(found: Checkup, *, set_role: bool) -> Iterator[Finding]:
    if found.version < OLDEST_VERSION:
        do = f"upgrade to {OLDEST_VERSION} or newer"
        yield fail("Postgres version", f"{found.version} is too old", do)
    else:
        yield ok("Postgres version", str(found.version))
    if found.revision is None:
        yield fail("schema", "the database was never migrated", "run: agentfleet migrate")
    elif not serves(found.revision):
        yield fail("schema", f"is at {found.revision}, this version needs {found.needed}", "run: agentfleet migrate")
    elif is_newer(found.revision):
        do = "update this installation, unless a newer version was rolled back on purpose"
        yield warn("schema", f"is at {found.revision}, newer than this version", do)
    else:
        yield ok("schema", f"at {found.revision}, as this version needs it")
    missing = [role for role, may in found.roles.items() if not may]
    if not missing:
        yield ok("roles", "the URL's user may become " + " and ".join(found.roles))
    elif set_role and found.revision:
        grants = "; ".join(f"GRANT {role} TO <the URL's user>" for role in missing)
        yield fail(
            "roles", f"the URL's user may not become {' and '.join(missing)}", f"as the schema's owner: {grants}"
        )


def _load(found: Checkup) -> Iterator[Finding]:
    for queue in found.load.queues:
        name, says = f"steps {queue.state} in pool {queue.pool}", str(queue.steps)
        if queue.state in ("ready", "dispatched") and queue.oldest > LONG:
            do = f"is a dispatcher and a step worker of pool {queue.pool} running?"
            yield warn(name, f"{says}, the oldest since {queue.oldest:.0f} s", do)
        else:
            yield ok(name, says)
    if found.load.expired_leases:
        says = f"{found.load.expired_leases} steps are held by workers that are gone"
        yield warn("leases", says, "is a reconciler running? It takes them back within seconds")
    if found.load.open_dead_letters:
        says = f"{found.load.open_dead_letters} wait for a human"
        yield warn("dead letters", says, "see: agentfleet dead-letters list")
