"""Every file of ci/ is a way to run the fleet: both Helms render it alike, and every cluster takes it."""

from copy import deepcopy

import pytest

from tests.helm import chart, schemas
from tests.helm.chart import CHART, CI, HELMS, NEWEST, Refused, cases, helm, objects, text, thorough

VERSIONS = ("1.29.0", "1.32.0", "1.34.0", NEWEST)


def test_there_is_a_file_for_every_way_to_run_it() -> None:
    assert {"minimal", "ha", "external-tls", "keda-off", "argocd", "openshift", "flower", "dev", "cells"} == set(CI)


@pytest.mark.parametrize("using", HELMS)
@pytest.mark.parametrize("case", cases("ha"))
def test_lint_finds_nothing(case: str, using: str) -> None:
    helm("lint", "--strict", str(CHART), "--values", str(CI[case]), using=using)


@pytest.mark.parametrize("case", cases("ha", "dev"))
def test_both_helms_render_the_same(case: str) -> None:
    assert text(case, using="helm3") == text(case, using="helm")


@pytest.mark.parametrize("case", cases("ha", "dev", "keda-off"))
@pytest.mark.parametrize("kubernetes", [NEWEST, *(pytest.param(version, marks=thorough) for version in VERSIONS[:-1])])
def test_every_object_is_valid(case: str, kubernetes: str) -> None:
    found = objects(case, kubernetes=kubernetes)
    known = [one for one in found if not one["apiVersion"].startswith("external-secrets.io/")]
    assert [problem for one in known for problem in schemas.problems(one, kubernetes)] == []


def test_the_schemas_see_a_slip() -> None:
    found = deepcopy(chart.named(objects("ha"), "Deployment")["ingress"])
    found["spec"]["template"]["spec"]["containers"][0]["readnessProbe"] = {}
    assert "readnessProbe" in str(schemas.problems(found, NEWEST))


@pytest.mark.skipif(
    not schemas.CRDS.exists(), reason="needs the CRDs of KEDA and of the Prometheus operator beside the checkout"
)
def test_the_custom_schemas_see_a_slip() -> None:
    found = deepcopy(objects("ha"))
    scaled = chart.named(found, "ScaledObject")["steps-bulk"]
    scaled["spec"]["cooldwnPeriod"] = 1
    scaled["spec"]["fallback"]["behavior"] = "guess"
    assert [word in str(schemas.problems(scaled, NEWEST)) for word in ("cooldwnPeriod", "guess")] == [True, True]
    custom = {one["kind"] for one in found if schemas.problems(one, NEWEST) == [] and "." in one["apiVersion"]}
    assert {"PodMonitor", "PrometheusRule", "ServiceMonitor", "TriggerAuthentication"} <= custom


def test_an_older_cluster_is_refused() -> None:
    with pytest.raises(Refused, match=r"chart requires kubeVersion: >=1\.29"):
        text("minimal", kubernetes="1.28.0")


def test_before_1_30_the_pre_stop_sleep_is_a_command() -> None:
    old, new = (
        chart.named(objects("minimal", kubernetes=version), "Deployment")["ingress"] for version in ("1.29.0", "1.30.0")
    )
    hooks = [one["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"] for one in (old, new)]
    assert hooks == [{"exec": {"command": ["sleep", "10"]}}, {"sleep": {"seconds": 10}}]


def test_a_package_holds_rules_and_dashboards_and_no_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("package")
    helm("package", str(CHART), "--destination", str(folder))
    (archive,) = folder.glob("agentfleet-*.tgz")
    shown = ("--values", str(CI["openshift"]), "--namespace", "agents", "--kube-version", NEWEST)
    package = helm("template", "rel", str(archive), *shown)
    assert package == text("openshift")
    found = chart.parse(package)
    dashboards = {f"dashboard-{path.stem}" for path in (CHART / "dashboards").glob("*.json")}
    assert dashboards <= set(chart.named(found, "ConfigMap"))
    assert chart.named(found, "ConfigMap")["dashboard-fleet"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    groups = [
        group for path in (CHART / "rules").glob("*.yaml") for group in chart.parse(path.read_text())[0]["groups"]
    ]
    assert chart.named(found, "PrometheusRule")[""]["spec"]["groups"] == groups


def test_monitoring_comes_where_the_operator_is_or_where_it_is_told() -> None:
    kinds = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}
    without, found, refused = (
        {one["kind"] for one in objects("minimal", overrides, apis=apis)} & kinds
        for overrides, apis in (
            ({}, ""),
            ({"monitoring.dashboards": False}, "monitoring.coreos.com/v1"),
            ({"monitoring": {"enabled": False, "rules": False, "dashboards": False}}, "monitoring.coreos.com/v1"),
        )
    )
    assert (without, found, refused) == (set(), kinds, set())
