"""What came when, for the simulator."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from agentfleet.capacity.recorded import read
from agentfleet.store import recording
from tests.factories import make_step, make_tool

HOUR = timedelta(hours=1)
BIN = timedelta(seconds=10)


async def test_what_came_is_counted_by_time_over_all_tenants_and_old_steps_are_left_out(db):
    async with db.reading() as connection:
        now = (await connection.execute(select(func.agentfleet_now()))).scalar_one()
    made = await make_step(db, created_at=now)
    await make_tool(db, run_id=made.run_id, seq=1, created_at=now - timedelta(seconds=25))
    await make_step(db, tenant="other", pool="slow", created_at=now)
    old = UUID(int=int((now - 2 * HOUR).timestamp() * 1000) << 80 | 7 << 76 | 2 << 62)
    await make_step(db, id=str(old), created_at=now - 2 * HOUR)

    found = await recording.arrivals(db, since=HOUR, every=BIN)
    assert [count for _, count in found] == [1, 2]
    assert [int(at.timestamp()) % 10 for at, _ in found] == [0, 0]
    assert [count for _, count in await recording.arrivals(db, since=HOUR, every=BIN, pool="slow")] == [1]
    assert len(read([f"{at.isoformat()},{count}" for at, count in found], "recorded")) == 3
