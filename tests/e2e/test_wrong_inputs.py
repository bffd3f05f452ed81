"""Bad input ends with exit 2 and one clear message: what, where, the nearest right thing. Nothing is sent."""

from pathlib import Path

import pytest

from minimal_service import minimal_service

from .conftest import ROOT, Sandbox

pytestmark = pytest.mark.e2e

SANDBOX = (ROOT / "parameters" / "sandbox.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def world(sandbox: Sandbox) -> None:
    sandbox.scenario("f1_drop")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("evaluation_gate.f1_tolerence=0.02", ["f1_tolerence", "f1_tolerance"]),
        ("evaluation_gate.precision_floor=high", ["precision_floor", "number"]),
        ("evaluation_gate.precision_floor=1.5", ["precision_floor", "1.5"]),
        ("evaluation_gates.precision_floor=0.9", ["evaluation_gates", "evaluation_gate"]),
        ("when_to_retrain.schedule=every sunday", ["schedule"]),
        ("when_to_retrain.psi_ceiling=.nan", ["psi_ceiling"]),
        ("warehouse.tables.transactions=TRANSACTIONS;DROP TABLE X", ["warehouse.tables.transactions"]),
        ("service.base_url=ftp://elsewhere", ["service.base_url", "http"]),
        ("post_deploy_monitoring.watch_minutes=-5", ["watch_minutes", "-5"]),
        ("training.extra_body.password=hunter2", ["password"]),
    ],
)
def test_a_wrong_assignment(sandbox: Sandbox, assignment: str, words: list[str]) -> None:
    refused(sandbox, ["--set", assignment], words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("precision_floor: 0.85", "precision_flor: 0.85"), ["precision_flor", "precision_floor", "line"]),
        (("precision_floor: 0.85", "precision_floor: 0.85\n  precision_floor: 0.9"), ["precision_floor", "line"]),
        (("precision_floor: 0.85", "precision_floor: 2013-06-09"), ["precision_floor", "line"]),
        (("precision_floor: 0.85", "precision_floor: off"), ["precision_floor", "line"]),
        (("evaluation_gate:", "evaluation_gate: ["), ["line"]),
    ],
)
def test_a_wrong_file(sandbox: Sandbox, tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
    assert change[0] in SANDBOX
    file = tmp_path / "sandbox.yaml"
    file.write_text(SANDBOX.replace(*change), encoding="utf-8")
    refused(sandbox, ["--parameters", str(file)], [*words, "sandbox.yaml"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--environment", "sandboks"], ["sandboks", "sandbox"]),
        (["--environment", "production"], ["service.base_url", "model"]),
        (["--parameters", "no/such/file.yaml"], ["no/such/file.yaml"]),
        (["--parameters", "parameters"], ["parameters"]),
        (["--reason", "new feature", "--priority", "urgent"], ["urgent", "high"]),
        (["--priority", "high"], ["--reason"]),
    ],
)
def test_wrong_arguments(sandbox: Sandbox, arguments: list[str], words: list[str]) -> None:
    refused(sandbox, arguments, words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "warehouse.tables.transactions=TRANSACTION"], ["TRANSACTION"]),
        (["--set", "warehouse.columns.label=labell"], ["labell", "label"]),
        (["--set", "warehouse.columns.ingestion_timestamp=ingested_at"], ["ingested_at"]),
        (["--set", "warehouse.features=[temperature_f, air_time]"], ["air_time"]),
        (["--set", "warehouse.connection_name=nowhere"], ["nowhere"]),
        (["--set", "service.base_url=http://127.0.0.1:9"], ["service.base_url", "127.0.0.1:9"]),
    ],
)
def test_a_wrong_outside_is_found_before_anything_is_sent(
    sandbox: Sandbox, arguments: list[str], words: list[str]
) -> None:
    refused(sandbox, arguments, words)


def test_a_service_that_is_something_else(sandbox: Sandbox) -> None:
    url = f"http://127.0.0.1:{_warehouse_port(sandbox)}"
    refused(sandbox, ["--set", f"service.base_url={url}"], ["service.base_url", url])


def test_nothing_reaches_a_service_when_a_parameter_is_wrong(sandbox: Sandbox) -> None:
    with minimal_service() as url:
        refused(sandbox, ["--set", f"service.base_url={url}", "--set", "rollback.observe=3"], ["observe"])
        assert url.service.log == []


def refused(sandbox: Sandbox, arguments: list[str], words: list[str]) -> None:
    told = sandbox.run(*arguments)
    assert told.code == 2, told.out + told.err
    said = told.json
    message = said.get("message") or said.get("reason")
    assert all(word.lower() in message.lower() for word in words), message
    assert "Traceback" not in told.out + told.err
    assert "pydantic" not in message
    assert not [effect for effect in said.get("effects", []) if effect["sent"]]


def _warehouse_port(sandbox: Sandbox) -> int:
    port: int = sandbox.retrain("sandbox", "status", "--json").json["warehouse"]["port"]
    return port
