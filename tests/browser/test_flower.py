"""Flower, seen with a real browser: what an operator finds there, what the buttons do, and where the links lead."""

import re

import httpx2
import pytest
from playwright.async_api import Locator, Page, expect

from tests.acceptance.fleet import FLOWER_LOGIN, until
from tests.browser.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROTECTED = ("", "tasks", "broker", "worker/any", "task/any", "api/workers", "api/tasks")


async def row_of(page: Page, site: Site, run_id: str, text: str) -> Locator:
    """The row of the tasks table that tells of this step of the run."""
    row = page.get_by_role("row").filter(has=page.locator(f'a[href$="{run_id}"]')).filter(has_text=text)

    async def shown() -> bool:
        await page.goto(f"{site.flower_url}/tasks")
        await expect(page.get_by_text(re.compile("Showing|No tasks")).first).to_be_visible()
        return await row.count() > 0

    await until(shown, f"the table shows {text} of {run_id}")
    return row.first


async def test_nobody_gets_in_without_logging_in(site: Site) -> None:
    async with httpx2.AsyncClient() as client:
        for login in (None, ("ops", "wrong")):
            for path in PROTECTED:
                answer = await client.get(f"{site.flower_url}/{path}", auth=login)
                assert answer.status_code == 401, path
                assert site.worker_name not in answer.text
            stop = await client.post(f"{site.flower_url}/api/worker/shutdown/{site.worker_name}", auth=login)
            assert stop.status_code == 401
    assert site.worker.code is None


async def test_a_worker_is_online_and_tells_its_pool_and_no_secret(site: Site, page: Page) -> None:
    await page.goto(f"{site.flower_url}/")
    worker = page.get_by_role("row").filter(has_text=site.worker_name)
    await expect(worker.get_by_text("Online")).to_be_visible()
    await worker.get_by_role("link", name=f"Worker {site.worker_name}").click()
    for name, value in (("Max concurrency", "2000"), ("Implementation", "One event loop")):
        await expect(page.get_by_role("row").filter(has_text=name)).to_contain_text(value)
    content = await page.content()
    assert "agentfleet.steps.default" in content
    assert [secret for secret in site.worker.secrets if secret in content] == []
    await page.goto(f"{site.flower_url}/broker")
    await expect(page.get_by_role("row").filter(has_text="agentfleet.steps.default")).to_be_visible()


async def test_a_task_leads_to_the_page_of_its_run_which_is_seen_to_succeed(site: Site, page: Page) -> None:
    run = site.submit("holder")
    row = await row_of(page, site, run, "hold attempt=1")
    await expect(row).to_contain_text("holder:tool")
    await expect(row).to_contain_text("STARTED")
    await row.locator('a[href*="/flower/task/"]').click()
    await expect(page.get_by_text(f"run={run} step=1 hold attempt=1")).to_be_visible()
    async with page.context.expect_page() as opening:
        await page.get_by_role("link", name=run).click()
    shown = await opening.value
    assert shown.url == f"{site.url}/runs/{run}"
    await shown.get_by_label("API key").fill(site.key)
    await shown.get_by_role("button", name="Show the run").click()
    await expect(shown.locator("#state")).to_have_text("running")
    site.open()
    await expect(shown.locator("#state")).to_have_text("succeeded")
    await expect(shown.locator("#output")).not_to_have_text("Not yet.")
    await expect(shown.locator("#steps .s-succeeded")).to_have_count(3)


async def test_terminating_a_task_cancels_its_run(site: Site, page: Page) -> None:
    run = site.submit("short_holder")
    row = await row_of(page, site, run, "hold_short")
    await row.locator('a[href*="/flower/task/"]').click()
    await page.get_by_role("button", name="Terminate").click()
    await site.finished(run, "cancelled")
    [_, held] = site.ask("GET", f"runs/{run}/steps")["data"]
    assert (held["name"], held["status"]) == ("hold_short", "cancelled")
    await until(lambda: site.flower_says(f"task/info/{held['id']}")["state"] == "REVOKED", "Flower shows it")


async def test_a_pool_that_cannot_grow_says_what_to_do_instead(site: Site) -> None:
    answer = httpx2.post(f"{site.flower_url}/api/worker/pool/grow/{site.worker_name}", auth=FLOWER_LOGIN)
    assert answer.status_code == 403
    assert "scale the number of workers" in answer.text


async def test_its_metrics_are_open_and_name_agents_and_kinds_only(site: Site) -> None:
    await site.worked()
    shown = httpx2.get(f"{site.flower_url}/metrics").text
    tasks = set(re.findall(r'task="([^"]*)"', shown))
    assert {"notes:reason", "notes:tool"} <= tasks
    assert all(re.fullmatch(r"(notes|holder|short_holder):(reason|tool)", task) for task in tasks), tasks
    assert f'flower_worker_online{{worker="{site.worker_name}"}} 1.0' in shown
    assert httpx2.get(f"{site.flower_url}/healthcheck").text == "OK"


async def test_a_restart_keeps_the_history(site: Site, page: Page) -> None:
    before = await site.worked()
    assert await site.flower.end() == 0
    site.flower = site.start_flower()
    await until(lambda: site.flower_says("workers") is not None, "it serves again")
    after = site.flower_says("tasks")
    assert {task: (one["name"], one["state"]) for task, one in after.items()} == {
        task: (one["name"], one["state"]) for task, one in before.items()
    }
    await page.goto(f"{site.flower_url}/tasks")
    await expect(page.get_by_text(f"of {len(before)} tasks")).to_be_visible()
    assert FLOWER_LOGIN[1] not in await page.content()
