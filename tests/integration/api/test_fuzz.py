"""Bad input is the client's fault: whatever comes, no answer says that we are broken."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentfleet.api.app import ROUTES

SHARED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ANY_TEXT = st.text(st.characters(), max_size=30)  # NUL and lone surrogates included
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
AGENTS = st.sampled_from(["support", "orders", "nobody"]) | ANYTHING
FIELDS = {
    "agent": AGENTS,
    "input": ANYTHING | st.fixed_dictionaries({"number": ANYTHING}),
    "priority": st.integers(-200, 200) | ANYTHING,
    "metadata": st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3) | ANYTHING,
    "deadline": st.floats(-1, 1e9) | ANYTHING,
}
BODIES = st.fixed_dictionaries({}, optional={**FIELDS, "more": ANYTHING})
HEADER = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=60).map(
    lambda text: text.encode("latin-1")
)
TEMPLATES = sorted({route.path for route in ROUTES if route.path.startswith("/v1")})
SOME_ID = "01a1fdf7-1186-7431-9874-d879db05f52f"
NAMES = st.sampled_from([SOME_ID, SOME_ID.upper(), "\x00", "../runs", "x" * 300]) | ANY_TEXT


def text_of(document: Any) -> bytes:
    """JSON that may be wrong in every way that a JSON text can be."""
    return json.dumps(document, ensure_ascii=True).encode()


@SHARED
@given(body=BODIES, headers=st.dictionaries(st.sampled_from(["Idempotency-Key", "Prefer", "traceparent"]), HEADER))
async def test_no_document_breaks_a_submit(client, body: dict[str, Any], headers: dict[str, bytes]) -> None:
    headers.pop("Prefer", None) if b"wait" in headers.get("Prefer", b"").lower() else None
    response = await client.post(
        "/v1/runs", content=text_of(body), headers={**headers, "Content-Type": "application/json"}
    )
    assert response.status_code in {202, 400, 422}, response.text
    if response.status_code == 202:
        found = await client.get(response.headers["location"])
        assert found.json()["input"] == body["input"]


@SHARED
@given(
    body=st.binary(max_size=300),
    declared=st.sampled_from(["application/json", "text/plain", "application/json;charset=utf-7"]),
)
async def test_no_bytes_break_a_submit(client, body: bytes, declared: str) -> None:
    response = await client.post("/v1/runs", content=body, headers={"Content-Type": declared})
    assert response.status_code in {202, 400, 415, 422}


@SHARED
@given(
    template=st.sampled_from(TEMPLATES),
    name=NAMES,
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "status", "agent", "after", "attempts", "x"]), NAMES, max_size=3
    ),
    headers=st.dictionaries(
        st.sampled_from(["If-None-Match", "Last-Event-ID", "X-Request-Id", "Accept", "Range"]), HEADER
    ),
    body=st.none() | ANYTHING,
)
async def test_no_path_query_or_header_breaks_anything(client, template, name, method, query, headers, body) -> None:
    name = quote(name.encode(errors="replace"), safe="")
    path = template.replace("{run_id}", name).replace("{dead_letter_id}", name)
    query = {key: value.encode(errors="replace").decode() for key, value in query.items()}
    content = None if body is None else text_of(body)
    response = await client.request(
        method, path, params=query, headers={**headers, "Content-Type": "application/json"}, content=content
    )
    assert response.status_code < 500, response.text
    assert response.headers["x-request-id"]
