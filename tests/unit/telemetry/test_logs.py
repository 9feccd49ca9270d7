"""One JSON object a line, whoever logs, from whatever thread, and nothing secret in it."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from agentfleet.telemetry import logs, redaction

Lines = Callable[[], list[dict[str, Any]]]
SECRETS = {
    "a provider key": "sk-ant-api03-abcDEF123456_-xyz",
    "our own key": "af_live_a1b2c3d4_0123456789abcdefABCDEF",
    "a bearer header": "Bearer abcdef0123456789",
    "a password in a URL": "hunter2-canary",
}
TEXTS = {
    "a provider key": "refused {}",
    "our own key": "unknown key {}",
    "a bearer header": "sent Authorization: {}",
    "a password in a URL": "cannot connect to postgresql://fleet:{}@db.example/agentfleet?sslmode=require",
}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Configure logging as a process does; what it has written so far."""
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("debug", process="test")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level, sys.excepthook = before, level, hook
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error):
        return error


def test_every_source_writes_the_same_kind_of_line(lines: Lines) -> None:
    structlog.get_logger("agentfleet.test").info("ours", number=1)
    logging.getLogger("celery.worker").warning("theirs %s", "too")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
    ours, theirs, warned = lines()
    assert (ours["event"], ours["number"], ours["logger"], ours["level"]) == ("ours", 1, "agentfleet.test", "info")
    assert (theirs["event"], theirs["logger"]) == ("theirs too", "celery.worker")
    assert warned["logger"] == "py.warnings"
    for line in (ours, theirs, warned):
        assert line["process"] == "test"
        assert line["ts"].endswith("Z")


def test_a_line_of_another_thread_names_the_process_and_not_the_step(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(step_id="1")
    thread = threading.Thread(target=lambda: structlog.get_logger("agentfleet.test").info("there"))
    thread.start()
    thread.join()
    structlog.get_logger("agentfleet.test").info("here")
    there, here = lines()
    assert there["process"] == here["process"] == "test"
    assert "step_id" not in there
    assert here["step_id"] == "1"


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_hidden_wherever_it_stands(lines: Lines, what: str) -> None:
    secret, text = SECRETS[what], TEXTS[what].format(SECRETS[what])
    log = structlog.get_logger("agentfleet.test")
    log.info("field", text=text)
    log.info("nested", detail={"list": [text, {"deep": (text,)}]})
    log.info(text)
    logging.getLogger("library").error("%s", text)
    log.error("raised", exc_info=_raised(RuntimeError(text)))
    assert len(lines()) == 5
    assert secret not in json.dumps(lines())
    assert redaction.HIDDEN in json.dumps(lines())


@pytest.mark.parametrize("field", ["api_key", "password", "Authorization", "client_secret", "access_token", "cookie"])
def test_a_field_with_a_secrets_name_is_hidden_whatever_its_shape(lines: Lines, field: str) -> None:
    structlog.get_logger("agentfleet.test").info("given", **{field: "plain", "nested": {field: "plain"}})
    assert "plain" not in json.dumps(lines())


def test_counts_of_tokens_are_no_secret(lines: Lines) -> None:
    structlog.get_logger("agentfleet.test").info("used", input_tokens=5, token_count=7)
    [line] = lines()
    assert (line["input_tokens"], line["token_count"]) == (5, 7)


def test_what_nobody_caught_is_a_line_too(lines: Lines) -> None:
    error = _raised(ValueError("no such thing: postgresql://fleet:hunter2-canary@db/x"))
    sys.excepthook(type(error), error, error.__traceback__)
    [line] = lines()
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert "no such thing" in line["exception"]
    assert "hunter2-canary" not in json.dumps(line)


def test_values_that_json_does_not_know_are_written_as_text(lines: Lines) -> None:
    structlog.get_logger("agentfleet.test").info("odd", value={1, 2}, error=ValueError("x"), bytes=b"\xff")
    [line] = lines()
    assert line["event"] == "odd"
