"""The limits that the organization's own list tells, before the first answer does.

https://platform.claude.com/docs/en/manage-claude/rate-limits-api
"""

from collections.abc import Mapping, Sequence

import structlog

from agentfleet.domain.admission import Heard
from agentfleet.domain.errors import InvalidInput
from agentfleet.provider.account import Account, Platform
from agentfleet.provider.admission import Admission
from agentfleet.provider.connections import Connections
from agentfleet.provider.errors import translate
from agentfleet.provider.limits import Limits
from agentfleet.provider.models import group_of

log = structlog.get_logger("agentfleet.admission")

FIELD = "AGENTFLEET_PROVIDER_ADMIN_KEY"
PLAIN, CACHE_AWARE = "input_tokens_per_minute", "input_tokens_per_minute_cache_aware"


class PublishedLimits:
    """Reads them with an admin key, for the one organization of ``accounts`` that is Anthropic's own.

    Raises ``InvalidInput`` when there is none, or several: a key is of one organization.
    """

    def __init__(self, admission: Admission, accounts: Sequence[Account], key: str, limits: Limits) -> None:
        ours = {account.organization: account for account in accounts if account.platform is Platform.ANTHROPIC}
        if len(ours) != 1:
            problem = f"is of one organization, and the accounts are of {len(ours)}: {', '.join(ours) or 'clouds only'}"
            raise InvalidInput(FIELD, problem)
        [(self._organization, account)] = ours.items()
        self._account = Account.model_validate(
            {"name": account.name, "api_key": key.strip(), "base_url": account.base_url}
        )
        self._admission, self._limits = admission, limits

    async def run_once(self) -> int:
        """Read them; always 0, since they may not have changed. What goes wrong is logged: answers tell them, too."""
        from agentfleet.provider.platforms import Endpoint

        endpoint = Endpoint(self._account, Connections(self._limits))
        groups = 0
        try:
            async for row in endpoint.client.organization.rate_limits.list(group_type="model_group"):
                told = {limit.type: float(limit.value) for limit in row.limits}
                for group in {group_of(model) for model in row.models or ()}:
                    self._admission.listen(f"{self._organization}/{group}", heard(told))
                    groups += 1
        except Exception as error:  # noqa: BLE001  # the SDK lets out whatever its transport and parser raise
            log.warning("limits_not_read", organization=self._organization, error=str(translate(error)))
        else:
            log.info("limits_read", organization=self._organization, groups=groups)
        finally:
            await endpoint.close()
        return 0


def heard(told: Mapping[str, float]) -> Heard:
    """Limits by their type. The plain one counts cache reads as input."""
    plain, aware = told.get(PLAIN), told.get(CACHE_AWARE)
    inputs = plain if aware is None else aware
    return Heard(
        (told.get("requests_per_minute"), inputs, told.get("output_tokens_per_minute")),
        reads_count=None if inputs is None else aware is None,
    )
