"""What the chart repeats is current, and every value is documented."""

import shutil
from pathlib import Path

import pytest
import yaml

from scripts.generate_chart import documented, main
from tests.helm.chart import CHART


def test_table_and_settings_are_what_the_sources_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_file_is_named_and_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "chart"))
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace("# -- Its class.", "# -- Its kind."))
    assert main(["--check"], chart) == 1
    assert "README.md of the chart is stale" in capsys.readouterr().out
    assert main([], chart) == 0
    assert main(["--check"], chart) == 0


def test_every_value_is_documented() -> None:
    text = (CHART / "values.yaml").read_text()
    told = {path for path, _, _ in documented(text)}

    def leaves(value: object, path: str) -> set[str]:
        if path in told or not isinstance(value, dict) or not value:
            return {path}
        return {leaf for key, one in value.items() for leaf in leaves(one, f"{path}.{key}".lstrip("."))}

    assert leaves(yaml.safe_load(text), "") - told == set()
