"""What a user would hand-write: plain Celery, one SQLAlchemy transaction per step, the next step sent after the commit.

Durable per step, and nothing more: no lease, no fence, no events, no messages, no outbox (a crash between commit and
send loses the run). Celery's own defaults with ``acks_late``; two prefork processes, the best of its pools here.
"""

import os
from datetime import UTC, datetime

from celery import Celery
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.workload import STEPS_PER_RUN, WORDS

app = Celery("naive", broker=os.environ.get("NAIVE_REDIS_URL", "redis://"))  # not our program's settings
app.conf.update(
    task_ignore_result=True, task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1
)


class Base(DeclarativeBase):
    pass


class Run(Base):
    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(index=True)
    cursor: Mapped[int]


class Step(Base):
    __tablename__ = "steps"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    seq: Mapped[int]
    result: Mapped[str]
    finished_at: Mapped[datetime]


_engines: dict[int, object] = {}


def session() -> Session:
    """A session on an engine of this process: a connection must not cross a fork."""
    if os.getpid() not in _engines:
        url = os.environ["NAIVE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")  # as above
        _engines[os.getpid()] = create_engine(url)
    return Session(_engines[os.getpid()])  # pyright: ignore[reportArgumentType]  # an engine


@app.task(name="step")
def step(run_id: int, seq: int) -> None:
    """One durable step."""
    with session() as db, db.begin():
        run = db.get(Run, run_id, with_for_update=True)
        if run is None or run.cursor != seq:
            return
        db.add(Step(run_id=run_id, seq=seq, result=WORDS, finished_at=datetime.now(UTC)))
        run.cursor = seq + 1
        if run.cursor == STEPS_PER_RUN:
            run.state = "succeeded"
    if seq + 1 < STEPS_PER_RUN:
        app.send_task("step", (run_id, seq + 1))


def create() -> None:
    """The tables, on a fresh database."""
    _engines.clear()  # those of the round before point at a database that is gone
    with session() as db:
        Base.metadata.create_all(db.get_bind())


def submit() -> None:
    """Accept one run."""
    with session() as db, db.begin():
        run = Run(state="running", cursor=0)
        db.add(run)
        db.flush()
        run_id = run.id
    app.send_task("step", (run_id, 0))


def ended() -> int:
    with session() as db:
        return db.scalar(select(func.count()).select_from(Run).where(Run.state == "succeeded")) or 0
