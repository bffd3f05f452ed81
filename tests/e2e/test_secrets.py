"""A canary secret that a person pastes, the environment holds and an error repeats is in no byte of the record."""

import base64
import json
import sys
import urllib.parse
from pathlib import Path

import pytest

from retrain.redaction import Secrets

from .conftest import RETRAIN, Sandbox

pytestmark = pytest.mark.e2e

CANARY = 'kanarien/"vogel"+7c4f%21'


def test_a_canary_is_in_no_byte_of_the_record(sandbox: Sandbox) -> None:
    sandbox.scenario("critical_quality")
    records = sandbox.records.parent / "canary"
    told = sandbox.command(
        str(RETRAIN), "run", "--json", "--set", f"records.url={records}",
        "--set", "service.token_environment_variable=MLMONITORING_TOKEN", "--reason", f"as asked with {CANARY}",
        MLMONITORING_TOKEN=CANARY,
    )  # fmt: skip
    assert (told.json["outcome"], told.code) == ("blocked", 10), told.out + told.err
    assert "[redacted" in told.out
    spelled = [
        CANARY,
        urllib.parse.quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode().rstrip("="),
        CANARY.replace('"', '\\"'),
        CANARY.encode().hex(),
    ]
    files = [path for path in records.rglob("*") if path.is_file()]
    assert len(files) > 10
    found = [(path.name, word) for path in files for word in spelled if word.encode() in path.read_bytes()]
    assert found == []
    assert not [word for word in spelled if word in told.out + told.err]


def test_a_notebook_run_by_hand_shows_no_secret_either(sandbox: Sandbox, tmp_path: Path) -> None:
    """From ``start`` on what its cells say is clean, whatever keeps it: here nbclient alone. Before, it is not."""
    import nbformat

    sandbox.scenario("healthy")
    cells = [
        'environment = "sandbox"\nrun_id = "new"',
        "import os\nc = os.environ['OTHER_TOKEN']\nprint(c)",
        'from retrain.notebook import show, start\nrun = start("prerequisites", globals())',
        "import sys\nprint(c); print(c, file=sys.stderr); show(c); c",
        "raise ValueError(c)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    code = (
        "import nbformat, sys\nfrom nbclient import NotebookClient\nnb = nbformat.read(sys.argv[1], 4)\n"
        "NotebookClient(nb, kernel_name='python3', allow_errors=True).execute()\nnbformat.write(nb, sys.argv[2])"
    )
    told = sandbox.command(
        sys.executable, "-c", code, str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"),
        RETRAIN_HOME=str(sandbox.project), OTHER_TOKEN=CANARY,
    )  # fmt: skip
    assert told.code == 0, told.err[-3000:]
    said = [json.dumps(cell.outputs, ensure_ascii=False) for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells]
    known = Secrets()
    known.register(CANARY, "OTHER_TOKEN")
    assert [bool(known.found_in(text.encode())) for text in said] == [False, True, False, False, False]
    assert said[3].count("[redacted:OTHER_TOKEN]") == 4, said[3]
    assert "[redacted:OTHER_TOKEN]" in said[4]
