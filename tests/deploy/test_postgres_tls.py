"""TLS to Postgres. The embedded one has none: PgBouncer speaks it here, with the same words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentfleet.cli.checks.database import check_database
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings
from agentfleet.store import trust
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from agentfleet.store.health import revision
from agentfleet.store.leadership import Leadership
from agentfleet.store.migrate import needed, upgrade
from tests.deploy.authority import Authority
from tests.deploy.bouncer import Bouncer, bouncer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def secure(database_url: str, authority: Authority) -> Iterator[Bouncer]:
    """Every session is its own; who comes without TLS is refused."""
    own = authority.certificate("localhost")
    with bouncer(
        database_url,
        pool_mode="session",
        client_tls_sslmode="require",
        client_tls_cert_file=own.certificate,
        client_tls_key_file=own.key,
    ) as made:
        yield made


def checked_by(authority: Authority, url: str) -> str:
    return f"{url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert={authority.file}"


async def test_everything_that_connects_checks_whom_it_speaks_with(secure, authority) -> None:
    url = checked_by(authority, secure.url)
    upgrade(url)
    trust.require_trust(url)
    config = DatabaseConfig(url, FLEET_ROLE, "test-tls", pool_size=1)
    db = Database(config)
    await db.open()
    assert await revision(db)
    await db.close()
    leadership = Leadership(config, "dispatch", asked_every=0.1)
    assert await leadership.held()
    await leadership.release()
    found = {finding.check: finding for finding in check_database(Settings(database_url=url))}
    assert found["database encryption"].says == "TLS, and its certificate is checked"
    assert found["pooler"].says == "there is one, and it keeps sessions apart"
    assert needed() in found["schema"].says


def test_a_certificate_of_somebody_else_ends_the_start_and_says_what_to_do(secure, tmp_path) -> None:
    url = checked_by(Authority(tmp_path, "wrong"), secure.url)
    for connect in (trust.require_trust, upgrade):
        with pytest.raises(
            InvalidInput, match=r"^AGENTFLEET_DATABASE_URL: .*certificate verify failed; sslrootcert= .*CA"
        ):
            connect(url)
    [found] = [finding for finding in check_database(Settings(database_url=url)) if finding.level == "fail"]
    assert "certificate verify failed" in found.says
    assert "sslrootcert=" in found.do


def test_the_doctor_warns_of_tls_with_anybody(secure) -> None:
    found = {
        finding.check: finding for finding in check_database(Settings(database_url=f"{secure.url}?sslmode=require"))
    }
    assert found["database encryption"].level == "warn"
