"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

from packaging.version import Version
from ruamel.yaml import YAML

from retrain import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_environment_yml_lists_what_pyproject_depends_on() -> None:
    listed = YAML(typ="safe").load(ROOT / "environment.yml")["dependencies"]
    pip = next(item["pip"] for item in listed if isinstance(item, dict))
    assert [item for item in pip if not item.startswith("--editable")] == PROJECT["dependencies"]
    assert "--editable .[sandbox,dev]" in pip
    assert f"python{PROJECT['requires-python']}" in listed


def test_the_lock_file_pins_every_dependency_with_hashes_and_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE))
    wanted = names(PROJECT["dependencies"]).union(
        *(names(extra) for extra in PROJECT["optional-dependencies"].values())
    )
    wanted = {name.replace(".", "-") for name in wanted}
    assert wanted <= {name.replace(".", "-") for name in pinned}
    assert lock.count("--hash=sha256:") > len(pinned)
    assert "://" not in lock


def test_every_target_that_the_texts_name_is_in_the_makefile_and_says_what_it_does() -> None:
    texts = [ROOT / name for name in ("README.md", "CHANGELOG.md", "environment.yml", "tests/released/README.md")]
    named = {target for text in texts for target in re.findall(r"(?:^|`)make ([a-z-]+)", text.read_text("utf-8"), re.M)}
    assert named >= {"install", "run", "test", "bench", "bench-watch", "crash-test"}
    assert named <= set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADINGS = set(re.findall(r"^## \[?(\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE))
FIXTURES = {file.name.removesuffix(".tar.xz") for file in (ROOT / "tests" / "released").glob("*.tar.xz")}


def test_every_released_version_has_its_records() -> None:
    """What the changelog calls released, or has records, is released; a tag's own are made once it is there."""
    assert "0.1.0" in FIXTURES
    assert HEADINGS - {__version__} <= FIXTURES


def test_work_goes_on_under_a_version_that_is_not_released_yet() -> None:
    """New records would else call themselves those of a release whose rules were others: see `retrain replay`."""
    assert PROJECT["version"] == __version__
    assert all(Version(__version__) > Version(released) for released in FIXTURES)
    _, heading, rest = CHANGELOG.partition("\n## Unreleased\n")
    assert heading
    assert Version(__version__).is_devrelease or not rest.partition("\n## ")[0].strip()


def test_ci_runs_the_tests() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
