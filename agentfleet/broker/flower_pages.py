"""What we add to Flower's pages: a link from every task to the page of its run.

Flower has no setting for a link. Its pages are Tornado templates, and Tornado takes a loader of one's own (the
application setting ``template_loader``): ours finds the templates beside this file first, and Flower's under
``flower/``, so that ours extend Flower's and fill in the block that Flower leaves for scripts.
"""

from functools import partial
from pathlib import Path
from typing import Any

import flower
from flower import urls
from tornado.template import BaseLoader, Template

OURS = Path(__file__).parent / "flower_templates"
THEIRS = Path(flower.__file__).parent / "templates"


class Templates(BaseLoader):
    """Our templates, then Flower's; ``namespace`` is what both may use."""

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """Every name is from the root."""
        return name

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        path = ours if ours.exists() else THEIRS / name.removeprefix("flower/")
        return Template(path.read_text(), name=name, loader=self)


def run_page(public_url: str, run_id: str) -> str:
    """The address of a run's page."""
    return f"{public_url.rstrip('/')}/runs/{run_id}"


def format_task(task: Any) -> Any:
    """Flower's option of this name; gets a copy. Celery's root task is our run, which is no task: no link to one."""
    task.run_id = task.root_id
    task.root_id = task.root = None
    return task


def link_to(public_url: str) -> None:
    """Make the pages of this process link to the runs at ``public_url``. Before Flower's application is made."""
    application: dict[str, Any] = urls.settings
    application["template_loader"] = Templates(namespace={"run_page": partial(run_page, public_url)})
