"""What a process knows of the model provider: accounts, limits, the room in its buckets, answers that are kept."""

from redis.asyncio import Redis

from agentfleet.caching.shelf import Shelf
from agentfleet.domain.admission import Pace
from agentfleet.provider.account import Account
from agentfleet.provider.accounts import read_accounts
from agentfleet.provider.admission import Admission
from agentfleet.provider.caps import read_caps
from agentfleet.provider.limits import Limits, connections_for
from agentfleet.provider.published import PublishedLimits
from agentfleet.settings import Settings, environment


def provider_accounts(settings: Settings) -> tuple[Account, ...]:
    """The accounts that AGENTFLEET_ACCOUNTS lists; none when it is not set, or when the provider is one of your own."""
    if settings.accounts is None or settings.provider != "anthropic":
        return ()
    return read_accounts(settings.accounts.get_secret_value(), base_url=None, api_key=None, env=environment)


def check_accounts(settings: Settings) -> None:
    """Raise ``InvalidInput`` when nobody can be called as the settings say."""
    if settings.provider == "anthropic" and not provider_accounts(settings):
        key = settings.provider_api_key
        told = None if key is None else key.get_secret_value()
        read_accounts(None, base_url=settings.provider_base_url, api_key=told, env=environment)


def provider_limits(settings: Settings) -> Limits:
    """How much of the network one worker uses for model calls."""
    return Limits(
        settings.provider_pool_size or connections_for(settings.worker_capacity),
        settings.provider_pool_per_host,
        settings.provider_connect_timeout,
        settings.provider_first_byte_timeout,
        settings.provider_idle_timeout,
        settings.provider_keep_alive,
    )


def admission(settings: Settings, redis: Redis) -> Admission:
    """The provider's buckets, as this process sees them."""
    pace = Pace(burst=settings.provider_burst, ramp=settings.provider_ramp, probe=settings.provider_overload_probe)
    return Admission(redis, prefix=settings.redis_prefix, pace=pace, caps=read_caps(settings.provider_limits).axes)


def published_limits(settings: Settings, admission: Admission) -> PublishedLimits | None:
    """Who reads the organization's limits, if there is a key for it; raises ``InvalidInput`` when it fits nothing."""
    if settings.provider_admin_key is None:
        return None
    key = settings.provider_admin_key.get_secret_value()
    accounts = provider_accounts(settings) or read_accounts(
        None, base_url=settings.provider_base_url, api_key=key, env=environment
    )
    return PublishedLimits(admission, accounts, key, provider_limits(settings))


def answer_shelf(settings: Settings, redis: Redis) -> Shelf:
    """Where answers are kept that may be used again."""
    return Shelf(
        redis, prefix=settings.redis_prefix, patience=settings.answer_cache_wait, cap=settings.answer_cache_bytes
    )
