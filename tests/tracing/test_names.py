"""The names of what spans tell, and who may know OpenTelemetry."""

import ast
import re
from pathlib import Path

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as theirs
from opentelemetry.semconv.attributes import error_attributes, http_attributes

from agentfleet.provider.account import Platform
from agentfleet.telemetry import attributes, genai
from tests.tracing.names import EMITTED

OURS = {name: value for name, value in vars(genai).items() if name.isupper() and str(value).startswith("gen_ai.")}
OPERATIONS = {one.value for one in theirs.GenAiOperationNameValues}
PROVIDERS = {one.value for one in theirs.GenAiProviderNameValues}
GUIDE = Path("docs/guides/tracing.md").read_text()


def test_every_generative_ai_name_is_that_of_the_conventions():
    assert len(OURS) > 15
    for name, value in OURS.items():
        assert getattr(theirs, f"GEN_AI_{name}") == value
    assert {genai.CHAT, genai.EXECUTE_TOOL, genai.INVOKE_AGENT} <= OPERATIONS
    assert {genai.PROVIDERS.get(one.value, one.value) for one in Platform} <= PROVIDERS


def test_they_stand_in_one_module():
    holders = {path for path in Path("agentfleet").rglob("*.py") if '"gen_ai.' in path.read_text()}
    assert holders == {Path("agentfleet/telemetry/genai.py")}


def test_names_that_others_have_defined_are_theirs():
    assert error_attributes.ERROR_TYPE == attributes.ERROR_TYPE
    assert http_attributes.HTTP_REQUEST_METHOD == attributes.HTTP_METHOD
    assert http_attributes.HTTP_ROUTE == attributes.HTTP_ROUTE
    assert http_attributes.HTTP_RESPONSE_STATUS_CODE == attributes.HTTP_STATUS


def test_the_guide_explains_every_attribute_and_no_other():
    special = {name for name in EMITTED if name.startswith(("agentfleet.", "gen_ai."))}
    assert set(re.findall(r"`((?:agentfleet|gen_ai)\.[a-z_.]+)`", GUIDE)) == special


def test_only_who_records_imports_opentelemetry_so_that_off_costs_nothing():
    """At import, that is: what imports it later asks first whether somebody traces."""
    recording = {"agentfleet/telemetry/recording.py", "agentfleet/telemetry/export.py"}
    importers = set[str]()
    for path in Path("agentfleet").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("opentelemetry") or str(name) in MODULES for name in names):
                importers.add(str(path))
    assert importers == recording


MODULES = {"agentfleet.telemetry.recording", "agentfleet.telemetry.export"}
