import pytest

from agentfleet.domain import errors as e
from agentfleet.provider.refusals import refused


def body(kind=None, message="Simulated", code=None):
    details = {} if code is None else {"details": {"error_code": code}}
    return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_body"}


@pytest.mark.parametrize(
    ("status", "kind", "code", "headers", "error"),
    [
        (301, None, None, {}, e.ProviderError),
        (400, "invalid_request_error", "thread_not_found", {}, e.ProviderRejected),
        (400, "billing_error", None, {}, e.ProviderParked),
        (401, "authentication_error", None, {"x-should-retry": "false"}, e.ProviderParked),
        (403, "permission_error", None, {"x-should-retry": "true"}, e.ProviderParked),
        (402, "billing_error", "linked_organization_billing_unavailable", {}, e.ProviderParked),
        (404, "not_found_error", "thread_not_found", {}, e.ProviderRejected),
        (412, None, None, {}, e.ProviderRejected),
        (413, "request_too_large", None, {"x-should-retry": "true"}, e.ProviderTooLarge),
        (413, None, None, {}, e.ProviderTooLarge),
        (418, None, None, {}, e.ProviderRejected),
        (429, "rate_limit_error", "a_code_of_next_year", {}, e.ProviderRateLimited),
        (429, "rate_limit_error", "enforced_spend_limit_reached", {"retry-after": "5"}, e.ProviderParked),
        (429, "rate_limit_error", None, {"x-should-retry": "false"}, e.ProviderRejected),
        (431, None, None, {}, e.ProviderRejected),
        (499, None, None, {}, e.ProviderRejected),
        (500, "api_error", None, {"x-should-retry": "false"}, e.ProviderRejected),
        (501, None, None, {}, e.ProviderUnavailable),
        (503, "api_error", "cmek_key_unreachable", {}, e.ProviderUnavailable),
        (503, "api_error", None, {}, e.ProviderOverloaded),
        (503, None, None, {"retry-after": "3"}, e.ProviderRateLimited),
        (502, None, None, {}, e.ProviderUnavailable),
        (529, "overloaded_error", "compaction_unavailable", {"retry-after": "3"}, e.ProviderOverloaded),
        (200, "authentication_error", None, {}, e.ProviderParked),
        (200, "permission_error", None, {}, e.ProviderParked),
        (200, "billing_error", None, {}, e.ProviderParked),
        (200, "not_found_error", None, {}, e.ProviderRejected),
        (200, "request_too_large", None, {}, e.ProviderTooLarge),
        (200, "conflict_error", None, {}, e.ProviderUnavailable),
        (200, None, None, {}, e.ProviderUnavailable),
        (200, "an_error_of_next_year", None, {}, e.ProviderError),
        (200, "an_error_of_next_year", None, {"retry-after": "9"}, e.ProviderError),
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
    ("status", "message"),
    [
        (400, "prompt is too long: 1043210 tokens > 1000000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease input length"),
        (200, "prompt is too long: 1043210 tokens > 1000000 maximum"),
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_its_words_and_never_tried_again(status, message):
    error = refused(status, body("invalid_request_error", message), {"x-should-retry": "true"})
    assert type(error) is e.ProviderTooLarge
    assert "larger context" in str(error)


@pytest.mark.parametrize("status", [404, 200])
def test_a_model_that_is_not_there_is_named_with_the_remedy(status):
    error = refused(status, body("not_found_error", "model: claude-opus-9"), {})
    assert type(error) is e.ProviderModelUnknown
    assert "model: claude-opus-9 (give the agent another model" in str(error)


@pytest.mark.parametrize("code", ["ramp_limit_exceeded", "a_code_of_next_year"])
def test_a_refusal_keeps_class_code_and_delay_for_admission(code):
    error = refused(429, body("rate_limit_error", code=code), {"retry-after": "7"})
    assert (type(error), error.status, error.error_code, error.retry_after) == (e.ProviderRateLimited, 429, code, 7.0)


@pytest.mark.parametrize(
    "odd", [None, "", "<html>Bad Gateway</html>", [], {"error": "text"}, {"error": {"details": "x", "type": 3}}]
)
def test_a_body_of_any_shape_is_no_obstacle(odd):
    error = refused(502, odd, {"request-id": "req_1"})
    assert type(error) is e.ProviderUnavailable
    assert (error.request_id, error.status) == ("req_1", 502)


def test_the_error_carries_the_providers_words_and_no_secrets():
    error = refused(
        422, body("not_found_error", "no key sk-ant-api03-abc\0 or Bearer abc.def here"), {"retry-after": "1"}
    )
    assert str(error) == "422 not_found_error: no key sk-ant-*** or Bearer *** here"
    assert error.detail == {
        "status": 422,
        "error_type": "not_found_error",
        "request_id": "req_body",
        "retry_after": 1.0,
    }


def test_a_long_page_is_cut():
    assert len(str(refused(500, "x" * 100_000, {}))) < 300
    assert len(str(refused(500, body("api_error", "x" * 100_000), {}))) == 2_000
