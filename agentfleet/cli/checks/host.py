"""This machine: agents that can be imported, a model provider, enough open files."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from agentfleet.agents.registry import Registry
from agentfleet.bootstrap import provider_accounts
from agentfleet.cli.checks.finding import Finding, fail, ok, warn
from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.limits import SPARE_FILES
from agentfleet.provider.platforms import check_extra
from agentfleet.settings import Settings


def check_agents(settings: Settings) -> Iterator[Finding]:
    """Whether the agents' modules can be used."""
    if not settings.agents:
        do = "set AGENTFLEET_AGENTS=package.module: without agents no run can be submitted"
        yield warn("agents", "AGENTFLEET_AGENTS is not set", do)
        return
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `agentfleet dev` and the launchers do
    try:
        found = Registry.load(settings.agents)
    except InvalidInput as error:
        yield fail("agents", str(error), "mend the module, or put its directory on PYTHONPATH")
        return
    yield ok("agents", ", ".join(sorted(found.agents)))


def check_provider(settings: Settings) -> Iterator[Finding]:
    """Whether workers know which model to call."""
    if settings.provider != "anthropic":
        yield ok("provider", settings.provider)
    elif settings.accounts is not None:
        yield from _check_accounts(settings)
    elif settings.provider_api_key is None:
        do = "set ANTHROPIC_API_KEY; for the simulator AGENTFLEET_PROVIDER_BASE_URL and any AGENTFLEET_PROVIDER_API_KEY"
        yield fail("provider", "there is no key for the Messages API", do)
    else:
        yield ok("provider", f"anthropic at {settings.provider_base_url or 'its usual address'}, with a key")


def _check_accounts(settings: Settings) -> Iterator[Finding]:
    try:
        accounts = provider_accounts(settings)
        for account in accounts:
            check_extra(account)
    except InvalidInput as error:
        yield fail("accounts", str(error), "mend AGENTFLEET_ACCOUNTS; workers do not start with it")
        return
    for account in accounts:
        models = "all models" if account.models is None else f"{len(account.models)} models"
        says = f"{account.name}: {account.platform.value}, organization {account.organization}, {models}"
        yield ok("accounts", f"{says}, weight {account.weight:g}")


def check_open_files(settings: Settings) -> Iterator[Finding]:
    """Whether a worker may hold as many connections as its capacity asks for."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.worker_capacity + SPARE_FILES
    if limit != resource.RLIM_INFINITY and limit < needed:
        do = f"raise it (ulimit -n {needed}; LimitNOFILE= in systemd), or lower AGENTFLEET_WORKER_CAPACITY"
        says = f"{limit}, but {settings.worker_capacity} steps in flight need about {needed}"
        yield warn("open files", says, do)
    else:
        yield ok("open files", f"{'unlimited' if limit == resource.RLIM_INFINITY else limit}, enough for {needed}")
