import pytest

from agentfleet.domain import errors as e
from agentfleet.provider.refusals import refused


def body(kind=None, message="Simulated", code=None):
    details = {} if code is None else {"details": {"error_code": code}}
    return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_body"}


@pytest.mark.parametrize(
    ("status", "kind", "code", "headers", "error"),
    [
        (301, None, None, {}, e.ProviderUnavailable),
        (400, "invalid_request_error", "thread_not_found", {}, e.ProviderRejected),
        (400, "billing_error", None, {}, e.ProviderParked),
        (401, "authentication_error", None, {"x-should-retry": "false"}, e.ProviderParked),
        (403, "permission_error", None, {"x-should-retry": "true"}, e.ProviderParked),
        (402, "billing_error", "linked_organization_billing_unavailable", {}, e.ProviderParked),
        (412, None, None, {}, e.ProviderRejected),
        (418, None, None, {}, e.ProviderRejected),
        (429, "rate_limit_error", "a_code_of_next_year", {}, e.ProviderRateLimited),
        (429, "rate_limit_error", "enforced_spend_limit_reached", {"retry-after": "5"}, e.ProviderParked),
        (429, "rate_limit_error", None, {"x-should-retry": "false"}, e.ProviderRejected),
        (431, None, None, {}, e.ProviderRejected),
        (499, None, None, {}, e.ProviderRejected),
        (500, "api_error", None, {"x-should-retry": "false"}, e.ProviderRejected),
        (501, None, None, {}, e.ProviderUnavailable),
        (503, "api_error", "cmek_key_unreachable", {}, e.ProviderUnavailable),
        (529, "overloaded_error", "compaction_unavailable", {"retry-after": "3"}, e.ProviderOverloaded),
        (200, "authentication_error", None, {}, e.ProviderParked),
        (200, "permission_error", None, {}, e.ProviderParked),
        (200, "billing_error", None, {}, e.ProviderParked),
        (200, "not_found_error", None, {}, e.ProviderRejected),
        (200, "request_too_large", None, {}, e.ProviderRejected),
        (200, "conflict_error", None, {}, e.ProviderUnavailable),
        (200, "an_error_of_next_year", None, {}, e.ProviderUnavailable),
        (200, "rate_limit_error", "contract_spend_limit_reached", {}, e.ProviderParked),
    ],
)
def test_status_type_code_and_headers_decide_the_error(status, kind, code, headers, error):
    assert type(refused(status, body(kind, code=code), headers)) is error


@pytest.mark.parametrize(
    "message", ["You have reached your specified API usage limits.", "Your credit balance is too low to use"]
)
def test_an_empty_account_is_known_by_its_words(message):
    assert type(refused(400, body("invalid_request_error", message), {})) is e.ProviderParked


@pytest.mark.parametrize(
    "odd", [None, "", "<html>Bad Gateway</html>", [], {"error": "text"}, {"error": {"details": "x", "type": 3}}]
)
def test_a_body_of_any_shape_is_no_obstacle(odd):
    error = refused(502, odd, {"request-id": "req_1"})
    assert type(error) is e.ProviderUnavailable
    assert (error.request_id, error.status) == ("req_1", 502)


def test_the_error_carries_the_providers_words_and_no_secrets():
    error = refused(
        404, body("not_found_error", "no key sk-ant-api03-abc\0 or Bearer abc.def here"), {"retry-after": "1"}
    )
    assert str(error) == "404 not_found_error: no key sk-ant-*** or Bearer *** here"
    assert error.detail == {
        "status": 404,
        "error_type": "not_found_error",
        "request_id": "req_body",
        "retry_after": 1.0,
    }


def test_a_long_page_is_cut():
    assert len(str(refused(500, "x" * 100_000, {}))) < 300
    assert len(str(refused(500, body("api_error", "x" * 100_000), {}))) == 2_000
