"""The mlmonitoring service: what it takes, what it refuses, and what survives a restart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from made_rows import PLAN, rows

from retrain_sandbox import clock, models, service, slots, state, training, world
from retrain_sandbox.data import FEATURES
from retrain_sandbox.job import Request, write_request
from retrain_sandbox.traffic import _shifted

BODY = {"model_type": "classifier", "data_version": "latest"}


@contextmanager
def served(home: Path) -> Iterator[httpx.Client]:
    """Serve ``home`` on a free port of the loopback interface."""
    config = uvicorn.Config(service.application(home), log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def model() -> models.Model:
    return training.train_directly(rows(), PLAN)


@pytest.fixture
def home(tmp_path: Path, model: models.Model, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one model that serves; there is no warehouse, so traffic only tries."""
    clock.set(tmp_path, datetime(2013, 6, 1, tzinfo=UTC))
    models.save(slots.version_directory(tmp_path, model.version), model)
    slots.write(tmp_path, slots.Slots(active=model.version))
    world.name_world(tmp_path, model="flights-test", scenario="test")
    monkeypatch.setattr(service, "PROMOTION_SECONDS", 0.0)
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[httpx.Client]:
    with served(home) as opened:
        yield opened


def stage(home: Path, model: models.Model) -> None:
    now = slots.read(home)
    slots.write(home, now.staged(model.version))


def instances(number: int) -> list[dict[str, Any]]:
    return [dict(one) for one in rows().instances(np.arange(number))]


def test_scores_come_in_order_from_the_active_slot(client: httpx.Client, model: models.Model) -> None:
    """A score for each row, with the version and the slot that gave it."""
    answer = client.post("/predict/batch", json={"instances": instances(7)}).json()
    assert answer["scores"] == pytest.approx(model.predict(instances(7), active=True), abs=1e-6)
    assert (answer["model_version"], answer["slot"]) == (model.version, "active")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"air_time_minutes": "long"}, "air_time_minutes"),
        ({"carrier": 7}, "carrier"),
        ({"surprise": 1}, "surprise"),
        ({"distance_miles": True}, "distance_miles"),
    ],
)
def test_a_bad_row_is_refused_by_its_field(client: httpx.Client, change: dict[str, Any], named: str) -> None:
    """422, and where it is wrong."""
    answer = client.post("/predict/batch", json={"instances": [instances(1)[0] | change]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "instances", 0, named]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"instances": []}',
        b'{"instances": [{"air_time_minutes": NaN}]}',
        b'{"instances": [{"air_time_minutes": 1e999, "\\ud800": 1}]}',
        b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"instances": [{"air_time_minutes": ' + b"9" * 5000 + b"}]}",
        b"\xff\xfe",
    ],
)
def test_no_body_is_an_error_of_the_service(client: httpx.Client, body: bytes) -> None:
    """Nothing that a caller can send ends in a 5xx."""
    for path in ("/predict/batch", "/training/trigger"):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"]


def test_too_much_at_once_is_refused(client: httpx.Client) -> None:
    """10,000 rows, and so many bytes."""
    assert client.post("/predict/batch", json={"instances": instances(1) * 10_001}).status_code == 422
    assert client.post("/predict/batch", content=b" " * 16_000_001).status_code == 413


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "regressor"}, "model_type"),
        ({"data_version": None}, "data_version"),
        ({"more": 1}, "more"),
        ({"hyperparameters": {"epochs": 0}}, "epochs"),
        ({"hyperparameters": {"class_weight": "heavy"}}, "class_weight"),
        ({"hyperparameters": {"deph": 3}}, "deph"),
    ],
)
def test_a_bad_trigger_is_refused_by_the_name_of_its_field(
    client: httpx.Client, change: dict[str, Any], named: str
) -> None:
    """And nothing is started."""
    answer = client.post("/training/trigger", json=BODY | change)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == named
    assert client.get("/training/status").json()["status"] == "idle"


def test_a_swap_without_a_standby_is_refused(client: httpx.Client, model: models.Model) -> None:
    """409, the slots stay."""
    assert client.post("/model/reload").status_code == 409
    assert client.post("/predict/batch", json={"instances": instances(1), "slot": "standby"}).status_code == 409
    assert client.get("/health").json()["slots"] == {"active": model.version, "standby": None}


def test_a_swap_toggles_and_survives_a_restart(home: Path, model: models.Model) -> None:
    """Active and standby change places; a second swap puts them back; a new process finds them so."""
    other = models.Model(model.manifest.__class__(**{**vars(model.manifest), "version": "v2"}), model.network)
    models.save(slots.version_directory(home, "v2"), other)
    stage(home, other)
    with served(home) as client:
        assert client.post("/model/reload").json() == {"active": "v2", "standby": model.version}
    with served(home) as client:
        assert client.get("/health").json()["slots"] == {"active": "v2", "standby": model.version}
        assert client.post("/model/reload").json() == {"active": model.version, "standby": "v2"}
    assert slots.read(home).swaps == 2
    assert not slots.read(home).promotion_recorded  # there is no warehouse: it stays to be told
    assert len((state.service_directory(home) / "requests.jsonl").read_text().splitlines()) == 2


def unfinished(home: Path) -> Path:
    directory = state.service_directory(home) / "jobs" / "job-w-0001"
    write_request(directory, Request("job-w-0001", datetime(2013, 6, 1, tzinfo=UTC), "w", None, {}))
    return directory


def test_a_job_that_a_crash_cut_off_has_failed(home: Path) -> None:
    """The error says that the service was restarted, and a new training may begin."""
    unfinished(home)
    with served(home) as client:
        status = client.get("/training/status").json()
    assert status["status"] == "failed"
    assert "restarted" in status["error"]


def test_a_job_that_finished_while_the_service_was_down_is_staged(home: Path, model: models.Model) -> None:
    """Its candidate stands by, and only then is it completed."""
    directory = unfinished(home)
    models.save(
        slots.version_directory(home, "v2"),
        models.Model(model.manifest.__class__(**{**vars(model.manifest), "version": "v2"}), model.network),
    )
    state.write_json(directory / "result.json", {"status": "completed", "model_version": "v2"})
    with served(home) as client:
        assert client.get("/training/status").json()["status"] == "completed"
        assert client.get("/health").json()["slots"]["standby"] == "v2"


@pytest.mark.parametrize("left", ["nothing", "half"])
def test_a_candidate_that_cannot_be_loaded_has_failed(home: Path, left: str) -> None:
    """The status says why and a new training may begin: "running" would last for ever, and no restart would help."""
    directory, version = unfinished(home), slots.version_directory(home, "v2")
    if left == "half":
        version.mkdir(parents=True)
        (version / "manifest.json").write_text("{")
    state.write_json(directory / "result.json", {"status": "completed", "model_version": "v2", "log": []})
    with served(home) as client:
        status = client.get("/training/status").json()
        assert client.get("/health").json()["slots"]["standby"] is None
        assert client.post("/training/trigger", json=BODY).status_code == 202
    assert status["status"] == "failed"
    assert "v2 could not be put in standby" in status["error"]


def test_a_second_trigger_while_one_trains_is_refused(client: httpx.Client, home: Path) -> None:
    """409 names the job that runs."""
    unfinished(home)
    answer = client.post("/training/trigger", json=BODY)
    assert answer.status_code == 409
    assert "job-w-0001" in answer.json()["detail"]


def test_without_a_model_the_service_says_so(tmp_path: Path) -> None:
    """503, and health still answers: a sandbox before its first scenario."""
    clock.set(tmp_path, datetime(2013, 6, 1, tzinfo=UTC))
    with served(tmp_path) as client:
        assert client.get("/health").json()["slots"] == {"active": None, "standby": None}
        row = dict.fromkeys(FEATURES)
        assert client.post("/predict/batch", json={"instances": [row]}).status_code == 503
        assert client.post("/training/trigger", json=BODY).status_code == 503


def test_every_answer_is_documented(client: httpx.Client) -> None:
    """The OpenAPI document names each refusal that these tests have met."""
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths["/training/trigger"]["post"]["responses"]) == {"202", "400", "409", "413", "422", "503"}
    assert set(paths["/predict/batch"]["post"]["responses"]) == {"200", "400", "409", "413", "422", "503"}
    assert set(paths["/model/reload"]["post"]["responses"]) == {"200", "409"}


def test_shifted_labels_are_those_of_the_request_before() -> None:
    """Evenly spread, and just the share that was asked for."""
    labels = np.arange(100)
    shifted = _shifted(labels, 0.35)
    moved = shifted != labels
    assert moved.sum() == 35
    assert ((labels[moved] - shifted[moved]) % 100 == 1).all()
    assert _shifted(labels, 0.0) is labels
