"""A small record to try things on: keys, a clock that stands, and runs of five entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from retrain.ledger import Chain, FolderStore, Head, PinnedKey, join_run, open_run, pin, public_pem

MODEL = "delays"


def make_signer(seed: int) -> CryptoSigner:
    """A key that is the same in every test run."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    plain = CryptoSigner(private)
    pem = public_pem(plain)
    keyid = pin(pem, role="runner", name="").keyid
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), keyid=keyid))


RUNNER, APPROVER, STRANGER = make_signer(1), make_signer(2), make_signer(3)
PINNED: dict[str, PinnedKey] = {
    key.keyid: key
    for key in (
        pin(public_pem(RUNNER), role="runner", name="the runner"),
        pin(public_pem(APPROVER), role="approver", name="the approver"),
    )
}


@dataclass
class Clock:
    """A machine clock that stands until it is told to go on."""

    at: datetime = field(default_factory=lambda: datetime(2026, 11, 23, 9, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Record:
    """A folder of records and everybody who writes to it."""

    root: Path
    clock: Clock

    @property
    def folder(self) -> Path:
        return self.root / MODEL

    def chain(self, signer: CryptoSigner | None = RUNNER) -> Chain:
        return Chain(FolderStore(self.root), MODEL, signer=signer, now=self.clock)

    def file(self, run: str, name: str, data: bytes) -> None:
        path = self.folder / "runs" / run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def entry(self, number: int) -> Path:
        return self.folder / "entries" / f"{number:08d}.json"

    def whole_run(self, run: str, *, files: int = 2) -> Head:
        """Open, act once, write files and close: five entries."""
        opened, _ = open_run(self.chain(), run, by="ann", body={"why": "drift"})
        joined = join_run(self.chain(None), run, held_by=opened.held_by)
        joined.append("intent", {"effect": "swap", "target": "v2"})
        joined.append("outcome", {"effect": "swap", "target": "v2", "outcome": "applied"})
        joined.append("verdict", {"section": "évaluation", "share": 0.25})
        for number in range(files):
            self.file(run, f"{number:02d}.ipynb", f"cells {run} {number}".encode())
        return opened.close("deployed", {})
