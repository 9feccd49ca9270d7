"""Budgets: what a tenant and its runs may spend and have spent, and other ceilings for a run."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response

from agentfleet.api import budget_documents, documents, schemas
from agentfleet.api.auth import principal
from agentfleet.api.bodies import read_object
from agentfleet.api.conditional import run_headers
from agentfleet.api.documents import dumps
from agentfleet.api.lookup import own_run
from agentfleet.api.problems import INVALID_REQUEST, PRECONDITION_FAILED, RUN_ENDED, Fault, Problem, pointer
from agentfleet.api.services import services
from agentfleet.domain.budget import CEILINGS, Amount, budget_from_json
from agentfleet.domain.states import RUN_FINAL
from agentfleet.store import audit, budgets
from agentfleet.store.reads import Record

JSON: Final = "application/json"
MOST: Final = 2**53
"""More is no whole number in JavaScript."""
MOST_DOLLARS: Final = Decimal(10_000_000)
CENT: Final = Decimal("0.00000001")
"""A budget counts dollars in hundred-millionths."""
MAX_DEPTH: Final = 8
"""Runs of one line: a child of a child of a child ... spends from all of them, and each must be locked."""

router = APIRouter(tags=["budgets"])


@router.get("/v1/budgets", operation_id="getBudgets", response_model=schemas.Budgets)
async def get_budgets(request: Request) -> Response:
    """What the tenant may still spend today."""
    row = await budgets.today(services(request).ingress.db, principal(request).tenant_id)
    if row is None:
        return Response(dumps({"tenant_day": None}), 200, media_type=JSON)
    cap, day, *spent = row
    resets = datetime.combine(date.fromisoformat(day) + timedelta(days=1), datetime.min.time(), UTC)
    found = budget_documents.state(budget_from_json(json.loads(cap)), Amount(*spent[:4]), Amount(*spent[4:]))
    return Response(
        dumps({"tenant_day": {**found, "day": day, "resets_at": documents.when(resets)}}), 200, media_type=JSON
    )


@router.patch("/v1/runs/{run_id}", operation_id="changeRun", response_model=schemas.Run)
async def change_run(request: Request, run_id: str) -> Response:
    """Give a run other ceilings. Whatever of it and of its children waits for a budget is looked at again at once."""
    parts, who = services(request), principal(request)
    row = await own_run(request, run_id)
    change = _ceilings(await read_object(request))
    version = _version(request, row)
    if row.state not in RUN_FINAL:
        budget = replace(await parts.budget_of(row), **change)
        await audit.record(parts.ingress.db, who, "run.change_budget", [str(row.id)])
        changed = await budgets.change(parts.ingress.db, who.tenant_id, str(row.id), budget, version=version)
        row = await own_run(request, run_id)
        if changed:
            return Response(dumps(await parts.document_of(row)), 200, run_headers(row), JSON)
    if row.state in RUN_FINAL:
        raise Problem(RUN_ENDED, f"the run is {row.state}", more={"status_of_run": row.state})
    raise _changed_meanwhile(row)


async def adopt(request: Request, parent_run_id: str) -> None:
    """Let a run have a child: it gets a budget that both spend from. Raises ``Problem`` (422) when it cannot have one.

    One that has ended is left to the submit, which knows whether the same request was accepted before.
    """
    parts, tenant_id = services(request), principal(request).tenant_id
    line = await budgets.lineage(parts.ingress.db, tenant_id, parent_run_id)
    if not line:
        fault = "is no run of yours"
    elif len(line) >= MAX_DEPTH:
        fault = f"has {len(line) - 1} runs above it, and {MAX_DEPTH} runs of one line are the most"
    else:
        parent = line[0]
        if parent.state not in RUN_FINAL:
            await budgets.open_run(parts.ingress.db, tenant_id, parent.id, await parts.budget_of(parent))
        return
    raise Problem(INVALID_REQUEST, f"/parent_run_id: {fault}", errors=[Fault(fault, pointer="/parent_run_id")])


def _version(request: Request, row: Record) -> int | None:
    """What ``If-Match`` asks for. Our ETags are versions, so that a weak one names the same run as a strong one."""
    header = request.headers.get("if-match")
    if header is None:
        return None
    given = {one.strip().removeprefix("W/") for one in header.split(",")}
    if "*" not in given and f'"{row.version}"' not in given:
        raise _changed_meanwhile(row)
    return None if "*" in given else row.version


def _changed_meanwhile(row: Record) -> Problem:
    return Problem(PRECONDITION_FAILED, f"the run has version {row.version} by now", more={"version": row.version})


def _ceilings(body: Mapping[str, Any]) -> dict[str, Any]:
    """The ceilings that are to change; raises ``Problem`` (422) with every fault."""
    faults = [Fault("this field is not known", pointer=pointer(name)) for name in body if name != "budget"]
    given = body.get("budget")
    wanted = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    if not wanted:
        faults.append(Fault(f"must be an object with some of {', '.join(CEILINGS)}", pointer="/budget"))
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in CEILINGS:
            faults.append(Fault(f"is none of {', '.join(CEILINGS)}", pointer=pointer("budget", name)))
        elif value is None:
            found[name] = None
        elif name == "max_cost_usd":
            found[name] = _dollars(value)
            if found[name] is None:
                problem = f"must be US dollars, more than 0 and less than {MOST_DOLLARS:,}, or null"
                faults.append(Fault(problem, pointer=pointer("budget", name)))
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST:
            faults.append(Fault("must be a whole number greater than zero, or null", pointer=pointer("budget", name)))
        else:
            found[name] = value
    if faults:
        raise Problem(INVALID_REQUEST, "; ".join(f"{f.pointer}: {f.detail}" for f in faults[:3]), errors=faults[:20])
    return found


def _dollars(value: Any) -> Decimal | None:
    """Rounded to what a budget counts in."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        dollars = Decimal(str(value)).quantize(CENT)
        return dollars if 0 < dollars < MOST_DOLLARS else None
    except InvalidOperation:  # no number, too many digits, not a number
        return None
