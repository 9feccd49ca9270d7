"""A fleet whose every statement goes through PgBouncer in transaction mode."""

from pathlib import Path

import httpx2

from agentfleet.dev.embedded import servers
from agentfleet.store import api_keys
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT
from tests.chaos.producer import submit
from tests.deploy.bouncer import bouncer
from tests.deploy.elsewhere import fleet_by


async def test_a_fleet_works_through_a_pooler_and_outlives_it(tmp_path: Path) -> None:
    with servers(Path(), ephemeral=True) as urls, bouncer(urls.database_url) as pooled:
        ways = {"database_url": pooled.url, "database_direct_url": urls.database_url}
        async with fleet_by(urls, tmp_path, **ways) as fleet:
            held = await fleet.submit(agents.holder, 10)
            await fleet.called("hold", 10)
            pooled.kill()
            fleet.open()
            pooled.revive()
            await fleet.finished([*held, *await submit(fleet.ingress, agents.notes, 20)])
            assert len(fleet.calls("hold")) == 10, "nothing was begun twice"

            ingress = await fleet.ground.start("workers.ingress", directory=tmp_path, port=0).ready()
            key = await api_keys.create(fleet.ingress.db, TENANT, "test")
            assert ingress.announced
            async with httpx2.AsyncClient(base_url=ingress.announced["url"]) as client:
                stranger = await api_keys.create(fleet.ingress.db, "globex", "test")
                for owner, status in ((key, 200), (stranger, 404)):
                    answer = await client.get(f"/v1/runs/{held[0]}", headers={"Authorization": f"Bearer {owner}"})
                    assert answer.status_code == status
            pools = {pool["database"]: pool for pool in pooled.ask("SHOW POOLS")}
            sessions = pools["agentfleet"]["sv_active"] + pools["agentfleet"]["sv_idle"]
            assert pools["agentfleet"]["cl_active"] > sessions, "connections shared sessions"
            assert await ingress.end() == 0
