"""The notebooks read like the runbook: their anatomy, and parameters that agree with policies and files."""

import ast
import json
import re
import statistics
from pathlib import Path
from typing import Any

import nbformat
import papermill  # type: ignore[import-untyped]
import pytest

from retrain import runbook, settings
from retrain.sections.related import data_quality, model_drift

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "notebooks/related").glob("*.ipynb"))
OF_RUN = {"environment", "run_id", "request"}
RELATED = {"model_drift": model_drift.Policy, "data_quality": data_quality.Policy}
RELATED_OUTCOMES = {"model_drift": ("drifted", "stable"), "data_quality": ("healthy", "failing")}
RUNBOOK = {
    "01_when_to_retrain": (
        "drop of F1 by more than 0.05 from baseline calls for retraining, with high priority",
        "aggregate PSI above 0.3 calls for retraining, with high priority",
        "Once a week, Sunday at 02:00 UTC",
        "with normal priority",
        "the priority is the team's to say",
        "](related/model_drift.ipynb)",
        "](related/data_quality.ipynb)",
    ),
    "02_prerequisites": (
        "At least 10,000 new labeled samples must have come in since the last training",
        "No data-quality run of the last day may be critical",
        "all healthy or warning",
        "No P1 incident may be open",
    ),
    "03_training": (
        "`POST /training/trigger`",
        '{"model_type": "classifier", "data_version": "latest"}',
        "Optuna with 5 trials, 30 epochs, early stopping after 5, 5-fold stratified cross-validation",
        "`GET /training/status` tells `running`, `completed` or `failed`",
    ),
    "04_evaluation_gate": (
        "| F1 score | ≥ production F1 − 0.01 |",
        "| AUC-ROC | ≥ production AUC-ROC − 0.005 |",
        "| precision | ≥ 0.85 |",
        "| recall | ≥ 0.80 |",
        "| latency p99 | < 1 s |",
        "`GET /training/status` tells the candidate's F1, precision, recall and AUC-ROC, and the differences from",
    ),
    "05_staging_smoke_tests": (
        "The service stores the new version and loads it into the standby slot by itself",
        "`POST /predict/batch`",
        "100 scores in [0, 1], latency p99 below 1 s",
    ),
    "06_blue_green_deployment": (
        "`POST /model/reload`",
        "The active and the standby slot are swapped",
        "the former version waits in standby for a roll back",
    ),
    "07_post_deploy_monitoring": (
        "For thirty minutes after the swap MODEL_METRICS is watched",
        "If F1 drops or latency spikes, the former version is put back at once",
    ),
    "09_if_retraining_fails": (
        "`/training/status`",
        "| data imbalance | class balance, the error | class weights, then SMOTE |",
        "| convergence failure | the epoch log, the error | more epochs, then the learning rate |",
        "| resource exhaustion | the error | a smaller batch, then a simpler model |",
        "an incident is opened",
        "Look at the data first",
    ),
}
"""The runbook's rows and figures, in the words in which a notebook's prose has them."""


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def prose(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]


def section_of(path: Path) -> str:
    return re.sub(r"^\d+_", "", path.stem)


def defaults(path: Path) -> dict[str, Any]:
    tagged = [cell for cell in read(path)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    tree = ast.parse("".join(tagged[0]["source"]))
    return {node.target.id: ast.literal_eval(node.value) for node in tree.body}  # type: ignore[attr-defined]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_notebook_is_committed_without_outputs(notebook: Path) -> None:
    cells = [cell for cell in read(notebook)["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)


def test_a_notebook_is_valid(notebook: Path) -> None:
    nbformat.validate(nbformat.read(notebook, as_version=4))  # type: ignore[no-untyped-call]


def test_cells_are_short_and_hold_no_logic(notebook: Path) -> None:
    lengths = [len([line for line in cell.splitlines() if line.strip()]) for cell in code(notebook)]
    assert max(lengths) <= 12
    assert statistics.median(lengths) <= 5
    forbidden = (ast.FunctionDef, ast.ClassDef, ast.Try, ast.While, ast.Lambda)
    for cell in code(notebook):
        assert not [node for node in ast.walk(ast.parse(cell)) if isinstance(node, forbidden)]
        assert "sys.exit" not in cell
        assert "%pip" not in cell


def test_a_notebook_has_more_prose_than_code(notebook: Path) -> None:
    words = [len(re.findall(r"\w+", " ".join(texts))) for texts in (prose(notebook), code(notebook))]
    assert words[0] > words[1]


def test_a_notebook_opens_with_its_title_and_what_it_may_change(notebook: Path) -> None:
    first = prose(notebook)[0]
    names = {section.name: section.title for section in runbook.SECTIONS}
    title = names.get(section_of(notebook), section_of(notebook).replace("_", " ").title())
    assert first.startswith(f"# {title}\n")
    assert "| changes production? | reads | writes | if it stops | usual duration |" in first
    loud = section_of(notebook) in ("blue_green_deployment", "rollback")
    assert ("**YES" in first) == loud


def test_every_outcome_of_a_section_is_explained_at_the_end(notebook: Path) -> None:
    name = section_of(notebook)
    known = {section.name: tuple(section.leads_to) for section in runbook.SECTIONS} | RELATED_OUTCOMES
    assert known[name] or name == runbook.LAST
    for outcome in known[name]:
        assert f"| {outcome} |" in prose(notebook)[-1]


@pytest.mark.parametrize("name", RUNBOOK)
def test_every_row_and_figure_of_the_runbook_is_there(name: str) -> None:
    """In what a person reads, not only in the defaults of a cell."""
    told = "\n".join(prose(ROOT / "notebooks" / f"{name}.ipynb"))
    assert [row for row in RUNBOOK[name] if row not in told] == []


def test_papermill_sees_every_parameter(notebook: Path) -> None:
    """A second '=' on a line would hide one."""
    seen = papermill.inspect_notebook(str(notebook))
    assert set(seen) == set(defaults(notebook))
    assert all(parameter["help"] for parameter in seen.values())


def test_the_parameters_cell_is_the_policy(notebook: Path) -> None:
    """Same names, same order, same defaults as the policy, whose defaults are the runbook's figures.

    What stands in the file alone is named here, so that it cannot grow unseen; none of it is a figure of the runbook.
    """
    name = section_of(notebook)
    told = {key: value for key, value in defaults(notebook).items() if key not in OF_RUN}
    kind = RELATED.get(name) or type(settings.load(root=ROOT).policy(name))
    elsewhere = settings.FILE_ONLY.get(name, ())
    assert told == kind().model_dump(mode="json", exclude=set(elsewhere))
    assert list(told) == [field for field in kind.model_fields if field not in elsewhere]
    if name not in RELATED:
        assert {*told, *elsewhere} == set(settings.parameter_names(name))
    assert all(f"`{field}`" in prose(notebook)[1] for field in elsewhere)


def test_what_stands_in_the_file_alone_is_no_figure_of_the_runbook() -> None:
    assert settings.FILE_ONLY == {
        "when_to_retrain": ("hysteresis_share", "label_delay_days", "f1_minimum_coverage"),
        "post_deploy_monitoring": ("poll_seconds",),
    }
    for section, names in settings.FILE_ONLY.items():
        assert set(names) <= set(settings.parameter_names(section))
        assert not set(names) & set(settings.RUNBOOK[section])


def test_a_notebook_runs_in_the_sandbox_by_default(notebook: Path) -> None:
    assert defaults(notebook)["environment"] == "sandbox"
    assert defaults(notebook)["run_id"] == ""


def test_links_lead_somewhere(notebook: Path) -> None:
    for link in re.findall(r"\]\(([^)]+\.ipynb)\)", "\n".join(prose(notebook))):
        assert (notebook.parent / link).exists()
