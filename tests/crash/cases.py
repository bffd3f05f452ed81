"""What one case is, where it lives, and what it acts upon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from crash.faulty_service import OPERATOR, scores
from retrain.acts import Fingerprint, incident_act, rollback_act, swap_act, training_act
from retrain.clock import EnvironmentClock
from retrain.effects import Act
from retrain.errors import RetrainError
from retrain.ledger import Chain, FolderStore, PinnedKey, StoreHead, load_signer, make_key, pin, public_pem
from retrain.service.client import Service

__all__ = ["ACTS", "MODEL", "Case", "Keys", "Place", "makes_sense"]

MODEL = "delays"
TIMEOUT_SECONDS, OBSERVE_SECONDS, POLL_SECONDS = 0.4, 0.25, 0.05
_SECONDS: dict[str, float] = {"observe_seconds": OBSERVE_SECONDS, "poll_seconds": POLL_SECONDS}
_BODY = {"model_type": "classifier", "data_version": "latest"}
_ROWS = [{"x": number} for number in range(5)]


@dataclass(frozen=True)
class _World:
    """What a kind of act meets. ``path`` is the request that it sends; ``wanted`` the version that it makes active."""

    path: str
    attests: bool = True
    tells_jobs: bool = True
    active: str = "one"
    wanted: str | None = None
    approval: bool = False


ACTS: dict[str, _World] = {
    "training": _World("/training/trigger"),
    "training without job ids": _World("/training/trigger", tells_jobs=False),
    "swap": _World("/model/reload", wanted="two"),
    "swap by fingerprint": _World("/model/reload", wanted="two", attests=False),
    "swap by response": _World("/model/reload", wanted="two", attests=False),
    "approved swap": _World("/model/reload", wanted="two", approval=True),
    "roll back": _World("/model/reload", wanted="one", active="two"),
    "incident": _World("/incidents"),
}
"""The kinds of acts, and what the service offers to each."""


def makes_sense(act: str, fault: str) -> bool:
    """Tell whether a fault can befall an act: nobody else opens an incident under this run's id."""
    return not (act == "incident" and (fault in OPERATOR or fault == "refused once"))


@dataclass(frozen=True)
class Case:
    """One case: what is done, what goes wrong, and at which boundary each life ends (0: it is not killed).

    ``mode`` is how the next life goes on: ``resume`` the run; ``race`` two resume it at once; ``abandon`` another run
    comes; ``kernel`` the act is done by a process without a key, which joins the supervisor's run and dies alone.
    ``late`` is the life after which a late apply comes; after the last one it comes in any case.
    """

    number: int
    act: str
    fault: str
    mode: str = "resume"
    kills: tuple[int, ...] = ()
    late: int = 1
    sabotage: str = ""

    @property
    def world(self) -> _World:
        """What the act meets."""
        return ACTS[self.act]

    @property
    def name(self) -> str:
        """The case's name, which names its folder too."""
        return f"{self.number:06d}"


class Keys:
    """One runner's and one approver's key, and both as a reader pins them."""

    def __init__(self, folder: Path) -> None:
        """Make the keys in ``folder`` if they are not there."""
        self.signers = {}
        self.pinned: dict[str, PinnedKey] = {}
        for role in ("runner", "approver"):
            make_key(folder / f"{role}.pem")
            self.signers[role] = load_signer(folder / f"{role}.pem")
            key = pin(public_pem(self.signers[role]), role=role, name=role)
            self.pinned[key.keyid] = key


class _QuickClock(EnvironmentClock):
    """Waits a tenth: for the pauses between two tries of a read."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 10)


@dataclass(frozen=True)
class Place:
    """Where a case lives: its folder, its service's address, its keys."""

    folder: Path
    url: str
    keys: Keys

    @property
    def requests(self) -> Path:
        """The service's own log."""
        return self.folder / "requests.jsonl"

    @property
    def record(self) -> Path:
        """The folder of the model's record."""
        return self.folder / "records" / MODEL

    @cached_property
    def head(self) -> StoreHead:
        """The head outside."""
        return StoreHead(self.folder / "outside", MODEL)

    def boundaries(self, life: int) -> Path:
        """Return the log of what one life passed by."""
        return self.folder / f"life-{life}.boundaries"

    def passed(self, life: int) -> Sequence[str]:
        """Return the boundaries that one life passed by, the one at which it died last."""
        log = self.boundaries(life)
        return log.read_text().splitlines() if log.exists() else []

    def chain(self, role: str | None = "runner") -> Chain:
        """Return the model's chain with the key of ``role``, or with none."""
        signer = self.keys.signers[role] if role else None
        return Chain(FolderStore(self.folder / "records"), MODEL, signer=signer)

    def act(self, case: Case) -> Act:
        """Return the act of ``case`` against its service."""
        service = Service(base_url=self.url, timeout_seconds=TIMEOUT_SECONDS, clock=_QuickClock())
        if case.act.startswith("training"):
            return training_act(service, _BODY, **_SECONDS)
        if case.act == "incident":
            return self._incident()
        fingerprint = Fingerprint(lambda: service.predict(_ROWS).scores, serving=scores("one", len(_ROWS)))
        ways: dict[str, Any] = {"fingerprint": fingerprint if "fingerprint" in case.act else None, **_SECONDS}
        make = rollback_act if case.act == "roll back" else swap_act
        return make(service, candidate="two", former="one", **ways)

    def _incident(self) -> Act:
        """Return an incident whose row is kept by the service: it stands in for the warehouse."""
        address = f"{self.url}/incidents"
        return incident_act(
            "INC-1",
            insert=lambda: _asked("POST", address),
            lookup=lambda: bool(_asked("GET", address)["rows"]),
            **_SECONDS,
        )


def _asked(method: str, address: str) -> Any:
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            response = client.request(method, address).raise_for_status()
            return json.loads(response.content)
    except (httpx.HTTPError, ValueError) as error:
        raise RetrainError(f"{method} {address}: {error}") from error
