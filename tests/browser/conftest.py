"""One browser and one fleet for all tests of this directory, on one event loop."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from agentfleet.store import api_keys
from agentfleet.store.database import APP_ROLE, Database, DatabaseConfig
from tests.acceptance.conftest import ground
from tests.acceptance.fleet import FLOWER_LOGIN, TENANT, Ground
from tests.browser.site import Site
from tests.tooling import program

__all__ = ["ground"]

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = program("chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=[*QUIET])
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(browser: Browser, ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Site:
    db = Database(DatabaseConfig(ground.database_url, APP_ROLE, "browser", pool_size=1))
    await db.open()
    key = await api_keys.create(db, TENANT, "browser")
    await db.close()
    return await Site(ground, tmp_path_factory.mktemp("site"), key).ready()


@pytest.fixture
def complaints() -> list[str]:
    """What the pages' scripts and the browser complain of. Whatever is left fails the test."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, complaints: list[str]) -> AsyncIterator[Page]:
    """A page of somebody who has logged in to Flower."""
    user, password = FLOWER_LOGIN
    context = await browser.new_context(
        http_credentials={"username": user, "password": password}, viewport={"width": 1280, "height": 900}
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield await context.new_page()
    await context.close()
    assert complaints == []
