"""The page of a run: who may see what, and that it brings everything along that it needs."""

import httpx2
import pytest
from playwright.async_api import Page, expect

from tests.acceptance.fleet import until
from tests.browser.site import Site
from tests.factories import execute

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_run(page: Page, site: Site, run_id: str, key: str | None = None) -> None:
    await page.goto(f"{site.url}/runs/{run_id}")
    await page.get_by_label("API key").fill(key or site.key)
    await page.get_by_role("button", name="Show the run").click()


async def test_a_finished_run_tells_everything_and_asks_nobody_else(site: Site, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    run = site.submit("notes")
    await site.finished(run)
    await open_run(page, site, run)
    await expect(page.locator("#state")).to_have_text("succeeded")
    await expect(page.locator("#events li")).to_have_count(6)
    await expect(page.locator("#events li").first).to_contain_text("run.succeeded")
    await expect(page.locator("#tiles")).to_contain_text("$0.")
    step = page.get_by_role("button", name="note_a")

    async def unfolded() -> bool:
        if await step.get_attribute("aria-expanded") != "true":
            await step.click()  # lost when the row is drawn anew between press and release
        return await step.get_attribute("aria-expanded") == "true"

    await until(unfolded, "the step shows its attempts")
    await expect(page.locator("#steps")).to_contain_text("try 1")
    await page.reload()
    await expect(page.locator("#state")).to_have_text("succeeded")  # this tab still has the key
    assert [url for url in asked if not url.startswith(site.url)] == []
    assert site.key not in "".join(asked)


@pytest.mark.parametrize("key", ["af_" + "x" * 43, "nonsense"])
async def test_a_wrong_key_shows_nothing_and_asks_again(
    site: Site, page: Page, complaints: list[str], key: str
) -> None:
    run = site.submit("notes")
    await open_run(page, site, run, key)
    await expect(page.get_by_role("alert")).to_have_text("This key is not known, or was revoked.")
    await expect(page.get_by_label("API key")).to_be_visible()
    await expect(page.locator("#run")).to_be_hidden()
    assert all("401" in one for one in complaints)
    complaints.clear()
    await page.get_by_label("API key").fill(site.key)
    await page.get_by_role("button", name="Show the run").click()
    await expect(page.locator("#agent")).to_have_text("notes")


async def test_a_run_that_waits_says_for_what(site: Site, page: Page) -> None:
    run = site.ask("POST", "runs", json={"agent": "chat", "input": "Go.", "lane": "batch", "deadline": "8h"})["id"]
    await site.finished(run, "waiting")
    await open_run(page, site, run)
    await expect(page.locator("#waiting")).to_contain_text("Waits for: batch")
    site.ask("POST", f"runs/{run}/cancel")
    await expect(page.locator("#state")).to_have_text("cancelled")
    await expect(page.locator("#waiting")).to_be_hidden()


async def test_a_run_that_was_deleted_says_so_and_is_not_asked_for_again(
    site: Site, page: Page, complaints: list[str]
) -> None:
    run, url = site.submit("notes"), site.ground.database_url
    await site.finished(run)
    execute(url, "UPDATE runs SET stripped_at = agentfleet_now(), version = version + 1 WHERE id = %s", run)
    await open_run(page, site, run)
    await expect(page.get_by_role("alert")).to_contain_text("What it did was deleted on ")
    await expect(page.locator("#state")).to_have_text("succeeded")
    await expect(page.locator("#input")).to_contain_text("Go.")
    stone = "INSERT INTO run_tombstones SELECT id, tenant_id, state, finished_at, agentfleet_now(), 's3://x/y' FROM runs WHERE id = %s"
    execute(url, stone, run)
    execute(url, "DELETE FROM runs WHERE id = %s", run)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.reload()
    said = page.get_by_role("alert")
    await expect(said).to_contain_text("The run was deleted on ")
    await expect(said).to_contain_text("Those who run the service can still read it.")
    await expect(said).not_to_contain_text("Trying again")
    assert len([each for each in asked if "/v1/" in each]) == 1
    assert all("410" in one for one in complaints)
    complaints.clear()


async def test_what_was_said_is_text_and_never_runs(site: Site, page: Page) -> None:
    markup = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    run = site.ask("POST", "runs", json={"agent": "chat", "input": markup})["id"]
    await site.finished(run)
    await open_run(page, site, run)
    await expect(page.locator("#input")).to_have_text(markup)
    assert await page.title() == "chat succeeded · agentfleet"
    assert await page.locator("#run img, #run script").count() == 0


async def test_it_follows_the_readers_taste_in_colours(site: Site, page: Page) -> None:
    shades: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto(f"{site.url}/runs/any")
        shades.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(246, 247, 249)", "rgb(15, 18, 22)"]


async def test_its_policy_lets_it_load_nothing_from_elsewhere(site: Site) -> None:
    for path in ("runs/any", "console/run.js", "console/run.css"):
        answer = httpx2.get(f"{site.url}/{path}")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
    assert httpx2.post(f"{site.url}/runs/any").headers["allow"] == "GET, HEAD"
