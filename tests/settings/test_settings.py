"""The typed settings: the runbook's figures, the files that carry them, and what is derived from them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from retrain import runbook
from retrain.errors import UsageError
from retrain.settings import RUNBOOK, Settings, load, parameter_names, project_root, schema

ROOT = Path(__file__).resolve().parents[2]
FILES = ("sandbox", "production")
SECTIONS = [section.name for section in runbook.SECTIONS]
FILLED = {
    "model": "fraud",
    "service.base_url": "https://mlmonitoring.example:8443",
    "records.signing_key": "/etc/retrain/runner.pem",
    "warehouse.database": "ML",
    "warehouse.schema": "PUBLIC",
}
FIGURES = [
    ("when_to_retrain", "f1_drop_tolerance", 0.05, "Accuracy drop: F1 drops > 0.05 from baseline"),
    ("when_to_retrain", "psi_ceiling", 0.3, "Drift score: aggregate PSI > 0.3"),
    ("when_to_retrain", "schedule", "0 2 * * 0", "Scheduled: weekly, Sunday 02:00 UTC"),
    ("prerequisites", "minimum_new_samples", 10_000, "Minimum 10,000 new labeled samples since last training"),
    ("prerequisites", "quality_window_hours", 24, "DATA_QUALITY of the last day"),
    ("prerequisites", "quality_statuses", ("healthy", "warning"), "All recent runs healthy or warning"),
    ("prerequisites", "blocking_severities", ("P1",), "No P1 incidents are open"),
    ("training", "model_type", "classifier", "The body's model_type"),
    ("training", "data_version", "latest", "The body's data_version"),
    ("training", "extra_body", {}, "The body has no further field"),
    ("evaluation_gate", "f1_tolerance", 0.01, "F1 ≥ production F1 - 0.01"),
    ("evaluation_gate", "auc_roc_tolerance", 0.005, "AUC-ROC ≥ production AUC-ROC - 0.005"),
    ("evaluation_gate", "precision_floor", 0.85, "Precision ≥ 0.85"),
    ("evaluation_gate", "recall_floor", 0.80, "Recall ≥ 0.80"),
    ("evaluation_gate", "latency_p99_ceiling_seconds", 1.0, "Latency p99 < 1 s"),
    ("staging_smoke_tests", "sample_predictions", 100, "Send 100 sample predictions"),
    ("staging_smoke_tests", "latency_p99_ceiling_seconds", 1.0, "Verify latency p99 < 1 s"),
    ("post_deploy_monitoring", "watch_minutes", 30, "Watch MODEL_METRICS for 30 minutes"),
]


def tree(environment: str) -> dict[str, Any]:
    """Return a file of the repository as plain values."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "parameters" / f"{environment}.yaml")
    return found


def written(folder: Path, text: str) -> Path:
    """Write a parameter file of the sandbox and return its path."""
    path = folder / "mine.yaml"
    path.write_text("environment: sandbox\nsandbox: {home: null}\n" + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("section", "name", "figure", "statement"), FIGURES)
def test_every_default_is_the_runbooks_figure(section: str, name: str, figure: object, statement: str) -> None:
    """A policy that nobody changed applies the runbook's statement, and so do both files."""
    default = Settings(environment="x").policy(section)
    assert getattr(default, name) == figure, statement
    for file in FILES:
        in_file = tree(file)[section][name]
        assert (tuple(in_file) if isinstance(in_file, list) else in_file) == figure, f"{file}: {statement}"


def test_every_figure_that_the_runbook_states_is_pinned() -> None:
    """No figure is called the runbook's without a test that holds it to the runbook."""
    assert {(section, name) for section, name, _, _ in FIGURES} == {
        (s, n) for s, names in RUNBOOK.items() for n in names
    }


@pytest.mark.parametrize("environment", FILES)
@pytest.mark.parametrize("section", SECTIONS)
def test_a_files_block_has_exactly_the_policys_names_in_its_order(environment: str, section: str) -> None:
    """A newcomer finds every parameter of a section in the file, and none that is not there."""
    assert tuple(tree(environment)[section]) == parameter_names(section)


@pytest.mark.parametrize("environment", FILES)
def test_a_files_other_blocks_are_written_out_too(environment: str) -> None:
    """Every top-level block stands in the file, and every name of warehouse, service and records."""
    found, model = tree(environment), Settings.model_json_schema()
    assert set(found) == set(model["properties"])
    for block in ("Warehouse", "Service", "Records", "Tables", "Columns", "Paths"):
        inside = (
            found.get(block.lower()) or found["warehouse"].get(block.lower()) or found["service"].get(block.lower())
        )
        assert set(inside) == set(model["$defs"][block]["properties"])


def test_every_line_with_a_value_says_what_it_means() -> None:
    """The files are read as documentation: each value has its meaning beside it, save the remedies' own fields."""
    for environment in FILES:
        for line in (ROOT / "parameters" / f"{environment}.yaml").read_text(encoding="utf-8").splitlines():
            remedy = line.strip().startswith(("- name:", "body:", "remedies: {}")) or line.strip() in (
                "data_imbalance:", "convergence_failure:", "resource_exhaustion:",
            )  # fmt: skip
            block = line.rstrip().endswith(":") and not line.startswith("  ")
            assert not line.strip() or "#" in line or remedy or block, line


def test_the_sections_of_the_settings_are_the_runbooks() -> None:
    """A section without a policy, or a policy without a section, cannot be."""
    blocks = list(Settings.model_fields)
    assert blocks[blocks.index("when_to_retrain") :] == SECTIONS


def test_the_schema_for_editors_is_current_and_named_in_each_file() -> None:
    """An editor knows what ``load`` knows. After a change: python -m retrain.settings > parameters/schema.json."""
    assert (ROOT / "parameters" / "schema.json").read_text(encoding="utf-8") == schema()
    for environment in FILES:
        first = (ROOT / "parameters" / f"{environment}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=schema.json"


def test_the_schema_accepts_the_sandbox_and_refuses_a_misspelt_name() -> None:
    """The schema says of the sandbox's file what ``load`` says."""
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    found = tree("sandbox")
    assert not list(validator.iter_errors(found))
    found["training"]["pol_seconds"] = 1
    assert list(validator.iter_errors(found))


def test_the_sandbox_changes_only_the_pace() -> None:
    """Out of the box nothing deviates from the runbook."""
    settings = load(root=ROOT)
    assert settings.environment == "sandbox"
    assert settings.deviations_from_runbook() == ()
    assert (settings.training.poll_seconds, settings.post_deploy_monitoring.poll_seconds) == (0.5, 0.5)
    assert (settings.model, settings.service.base_url, settings.warehouse.connection_name) == (None, None, None)


def test_the_sandbox_knows_the_runbooks_remedies_in_the_runbooks_order() -> None:
    """Class weights or SMOTE; more epochs or the learning rate; a smaller batch or a simpler model."""
    remedies = load(root=ROOT).if_retraining_fails.remedies
    assert {cause: [remedy.body["hyperparameters"] for remedy in tried] for cause, tried in remedies.items()} == {
        "data_imbalance": [{"class_weight": "balanced"}, {"oversampling": "smote"}],
        "convergence_failure": [{"epochs": 120}, {"learning_rate": 0.003}],
        "resource_exhaustion": [{"batch_size": 64}, {"hidden_units": 8}],
    }


def test_the_production_template_says_all_that_must_be_filled_in() -> None:
    """The template does not load as it is, and one message names each gap with its line."""
    with pytest.raises(UsageError) as refused:
        load("production", root=ROOT)
    for name in FILLED:
        assert f": {name} is " in str(refused.value)
    assert str(refused.value).count(", line ") == len(FILLED)


def test_the_production_template_loads_once_it_is_filled_in() -> None:
    """Nothing else is needed, and nothing of the runbook's own is another; that labels are waited for is said."""
    settings = load("production", root=ROOT, assignments=[f"{name}={value}" for name, value in FILLED.items()])
    assert settings.sandbox is None
    assert settings.world is None
    assert settings.warehouse.schema_ == "PUBLIC"
    assert settings.deviations_from_runbook() == (
        "when_to_retrain.label_delay_days is 7; the default is 0",
        "when_to_retrain.f1_minimum_coverage is 0.9; the default is 0",
    )


def test_settings_survive_json_exactly() -> None:
    """What is kept with a run is what was in force: equal values, and the same bytes written again."""
    settings = load(root=ROOT, assignments=["training.extra_body={a: [1, 2.5, null, x]}", "warehouse.features=[a, b]"])
    kept = settings.model_dump_json(indent=2)
    again = Settings.model_validate_json(kept)
    assert again == settings
    assert again.model_dump_json(indent=2) == kept
    assert json.loads(kept)["warehouse"]["schema"] == "PUBLIC"
    assert again.digest == settings.digest


def test_settings_that_say_nothing_and_settings_that_say_the_defaults_are_one() -> None:
    """A default left out and a default written out give the same JSON and the same digest: 30 is 30.0."""
    silent = Settings(environment="x")
    assert Settings.model_validate_json(silent.model_dump_json()).digest == silent.digest


def test_the_digest_is_of_the_policies_alone() -> None:
    """Where the service is does not change the policy's digest; a figure does. A kernel elsewhere gets the same."""
    settings = load(root=ROOT)
    assert settings.digest == load(root=ROOT, assignments=["service.base_url=http://127.0.0.1:1"]).digest
    assert settings.digest != load(root=ROOT, assignments=["evaluation_gate.f1_tolerance=0.02"]).digest
    assert len(settings.digest) == 64


def test_deviations_name_the_figure_the_value_and_the_runbooks_own() -> None:
    """The record says in a sentence what the runbook would have had; other defaults are not called the runbook's."""
    settings = load(
        root=ROOT,
        assignments=[
            "post_deploy_monitoring.watch_minutes=5",
            "prerequisites.quality_statuses=[healthy, warning, critical]",
            "training.extra_body={priority: 1}",
            "training.poll_seconds=3",
            "blue_green_deployment.approval=required",
        ],
    )
    assert settings.deviations_from_runbook() == (
        "prerequisites.quality_statuses is healthy, warning, critical; the runbook says healthy, warning",
        "training.extra_body is {'priority': 1}; the runbook says nothing",
        "blue_green_deployment.approval is required; the default is none",
        "post_deploy_monitoring.watch_minutes is 5; the runbook says 30",
    )


def test_a_whole_number_in_a_file_is_a_good_figure_and_no_deviation(tmp_path: Path) -> None:
    """``30`` and ``30.0`` are the same half hour."""
    settings = load(file=written(tmp_path, "post_deploy_monitoring: {watch_minutes: 30.0}\n"))
    assert settings.deviations_from_runbook() == ()


def test_policy_is_found_by_name_or_number_and_an_unknown_one_is_refused() -> None:
    """``retrain step 04`` and ``retrain step evaluation_gate`` mean the same."""
    settings = load(root=ROOT)
    assert settings.policy("04") is settings.policy("evaluation_gate") is settings.evaluation_gate
    with pytest.raises(UsageError, match="Did you mean 'evaluation_gate'"):
        settings.policy("evaluation_gaet")


def test_changed_refuses_what_a_file_would_refuse_and_names_the_source() -> None:
    """Values from a notebook's cell are held to the same rules, and the settings changed stay as they were."""
    settings = load(root=ROOT)
    quicker = settings.changed({"post_deploy_monitoring.watch_minutes": 5, "model": "world"}, source="a cell")
    assert (quicker.post_deploy_monitoring.watch_minutes, quicker.model) == (5, "world")
    assert settings.post_deploy_monitoring.watch_minutes == 30
    with pytest.raises(
        UsageError, match=r"^a cell: evaluation_gate\.recall_floor must be a number, not the text '0\.8'"
    ):
        settings.changed({"evaluation_gate.recall_floor": "0.8"}, source="a cell")
    for value in (float("nan"), object()):
        with pytest.raises(UsageError, match="it must be text, a finite number, a list or a block"):
            settings.changed({"evaluation_gate.recall_floor": value}, source="a cell")


def test_settings_are_frozen() -> None:
    """What was in force when a run began is in force when it ends."""
    with pytest.raises(ValueError, match="frozen"):
        load(root=ROOT).evaluation_gate.recall_floor = 0.1  # type: ignore[misc]


def test_the_project_is_found_from_inside_by_variable_and_from_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$RETRAIN_HOME first, then the folders above, then the checkout that the package is in."""
    monkeypatch.delenv("RETRAIN_HOME", raising=False)
    assert project_root(ROOT / "tests") == ROOT
    assert project_root(tmp_path) == ROOT
    home, inner = tmp_path / "home", tmp_path / "home" / "a" / "b"
    for folder in (home / "parameters", home / "notebooks", inner):
        folder.mkdir(parents=True)
    assert project_root(inner) == home
    monkeypatch.setenv("RETRAIN_HOME", str(home))
    assert project_root(ROOT) == home
    monkeypatch.setenv("RETRAIN_HOME", str(inner))
    with pytest.raises(UsageError, match=r"\$RETRAIN_HOME is .* no folders parameters and notebooks"):
        project_root(ROOT)


def test_no_project_at_all_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package far from any checkout says what it looked for."""
    monkeypatch.delenv("RETRAIN_HOME", raising=False)
    monkeypatch.setattr("retrain.settings.places.__file__", str(tmp_path / "a" / "b" / "settings.py"))
    with pytest.raises(UsageError, match=r"is not in a project.*\$RETRAIN_HOME"):
        project_root(tmp_path)


def test_importing_and_loading_settings_stays_cheap() -> None:
    """Neither ``import retrain.settings`` nor loading the sandbox's file brings in a heavy library."""
    heavy = {"pandas", "numpy", "scipy", "httpx", "snowflake", "matplotlib", "papermill", "IPython"}
    code = "import sys, retrain.settings as s; s.load(); print(*{name.split('.')[0] for name in sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(told.stdout.split())
