"""Redis behind TLS and behind Sentinels: for our own clients, for Celery over either transport, and for Flower."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower.utils.broker import Broker
from kombu import pools

from agentfleet import bootstrap
from agentfleet.broker import names
from agentfleet.broker.app import make_app
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.cli.checks.redis import check_redis
from agentfleet.dev.embedded import servers
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings
from tests.acceptance import agents
from tests.acceptance.fleet import until
from tests.deploy.authority import Authority
from tests.deploy.elsewhere import fleet_by
from tests.deploy.redises import PASSWORD, Watched, watched, with_tls
from tests.integration.broker.conftest import bell

QUEUE = names.queue("agentfleet", "default")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[dict[str, Any]]:
    """Settings that reach a Redis which wants our certificate too."""
    ours = authority.certificate("agentfleet")
    with with_tls(tmp_path_factory.mktemp("tls") / "redis", authority) as url:
        yield {
            "redis_url": url,
            "redis_ca_file": authority.file,
            "redis_cert_file": ours.certificate,
            "redis_key_file": ours.key,
        }


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("sentinels")) as made:
        yield made


async def carried(ways: dict[str, Any]) -> None:
    """A message of ours is taken by Celery, over both transports, and Flower can count it."""
    for transport in ("doorbell", "redis"):
        settings = Settings(transport=transport, **ways)
        async with bootstrap.redis_client(settings) as redis:
            publisher = RedisPublisher(redis, prefix="agentfleet")
            sent = bell()
            await publisher.publish([sent])
            await publisher.flush()
        with make_app(settings) as app:
            if transport == "redis":
                options = app.conf.broker_transport_options
                seen = Broker(
                    app.connection().as_uri(include_password=True),
                    broker_options=options,
                    broker_use_ssl=app.conf.broker_use_ssl,
                )
                assert [queue["messages"] for queue in await seen.queues([QUEUE])] == [1]
                if ways["redis_url"].startswith("sentinel"):
                    await seen.redis.connection_pool.sentinel_manager.aclose()  # Flower leaves it to the collector
            with app.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
                message = queue.get(timeout=10)
                message.ack()
                assert message.headers["id"] == sent.step_id
        pools.reset()


async def test_messages_are_carried_over_tls(secure) -> None:
    await carried(secure)


async def test_messages_are_carried_by_the_primary_that_sentinels_name(sentinels) -> None:
    await until(sentinels.settled, "the Sentinels know each other")
    await carried({"redis_url": sentinels.url(first_away=False)})  # Flower asks the first alone


def found(**ways: Any) -> dict[str, Any]:
    """What the doctor says, by check."""
    return {finding.check: finding for finding in check_redis(Settings(**ways))}


def test_the_doctor_says_how_redis_is_reached(secure, sentinels) -> None:
    assert found(**secure)["redis encryption"].says == "TLS, and its certificate is checked"
    told = found(redis_url=sentinels.url(first_away=True))
    assert told["redis primary"].says == f"127.0.0.1:{sentinels.primary.port}, as the Sentinels say"
    assert told["redis encryption"].says == "none, within this machine"
    assert PASSWORD not in str(told)


async def test_a_wrong_ca_is_told_in_one_line_at_once(secure, tmp_path) -> None:
    ways = {**secure, "redis_ca_file": Authority(tmp_path, "wrong").file}
    told = found(**ways)["redis"]
    assert "Redis' certificate is not trusted (" in told.says
    assert told.do.startswith("AGENTFLEET_REDIS_CA_FILE: ")
    with pytest.raises(InvalidInput, match=r"^AGENTFLEET_REDIS_CA_FILE: .* not trusted .*CA that signed it"):
        bootstrap.check(Settings(database_url="postgresql://none/none", **ways))
    await carried({**ways, "redis_verify": "none"})


async def test_a_failover_loses_nothing(sentinels, tmp_path) -> None:
    await until(sentinels.settled, "the Sentinels know each other")
    with servers(Path(), ephemeral=True) as urls:
        async with fleet_by(urls, tmp_path, redis_url=sentinels.url(first_away=True)) as fleet:
            held = await fleet.submit(agents.holder, 5)
            await fleet.called("hold", 5)
            sentinels.primary.kill()
            fleet.open()
            during = await fleet.submit(agents.notes, 5)
            await until(sentinels.promoted, "the replica is the primary")
            await fleet.finished([*held, *during, *await fleet.submit(agents.notes, 5)])
            assert len(fleet.calls("hold")) == 5, "nothing was begun twice"
