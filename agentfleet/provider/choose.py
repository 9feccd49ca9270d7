"""Which account answers a call: a pure choice, the same in every process.

A new run goes where weighted rendezvous hashing sends its id: every account draws a score from the run's id, and the
best score wins. So weights hold over many runs, and when an account is parked, its runs alone move, spread over the
others (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005).

From then on the run is pinned: its prompt is cached there, and the thinking blocks of some models are valid nowhere
else (https://platform.claude.com/docs/en/build-with-claude/preserved-thinking). It leaves an account only if that is
parked as a whole and the conversation holds nothing that is bound to it.
"""

import hashlib
import math
from collections.abc import Callable, Sequence

from agentfleet.domain.errors import ProviderModelUnknown
from agentfleet.provider.account import Account


def choose(
    accounts: Sequence[Account],
    run_id: str,
    model: str,
    *,
    pinned: str | None,
    bound: bool,
    parked: Callable[[Account], bool],
) -> Account:
    """The account that ``run_id`` should ask for ``model``.

    ``pinned`` is the account that answered last, ``bound`` whether the conversation must stay there. The answer is a
    parked account only when no other may be asked: the call waits for it. Raises ``ProviderModelUnknown`` when nobody
    serves the model.
    """
    serving = [account for account in accounts if account.serves(model)]
    if not serving:
        raise ProviderModelUnknown(f"no account serves the model {model!r}: add it to `models` of one", model=model)
    home = next((account for account in serving if account.name == pinned), None)
    if home is not None and (bound or not parked(home)):
        return home
    open_now = [account for account in serving if not parked(account)]
    if not open_now and home is not None:
        return home
    return max(open_now or serving, key=lambda account: _score(run_id, account))


def _score(run_id: str, account: Account) -> tuple[float, str]:
    """Larger is better: ``weight / -ln(u)``, with ``u`` between 0 and 1 out of the hash of run and account."""
    digest = hashlib.blake2b(f"{run_id}\0{account.name}".encode(), digest_size=8).digest()
    u = ((int.from_bytes(digest) >> 12) + 0.5) / 2**52  # more bits would round up to 1
    return account.weight / -math.log(u), account.name
