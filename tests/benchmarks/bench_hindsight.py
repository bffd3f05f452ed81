"""A year of hourly checks decided again: ``python tests/benchmarks/bench_hindsight.py [--runs N] [--rounds N]``.

Runs of nine entries as an hourly check writes them, thirteen features in each, are read from a folder. Held against the
same entries read and parsed as plain JSON, which nobody who reads them can do without.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from sides import Report, Row, in_turns, parser, print_report

from retrain.facts import FeatureDrift
from retrain.hindsight.backtest import backtest
from retrain.hindsight.replay import replay_all
from retrain.ledger import encode, entry_file, sha256
from retrain.ledger.entries import GENESIS
from retrain.sections import decision_record, when_to_retrain
from retrain.settings import Settings, load

ROOT = Path(__file__).parents[2]
YEAR = 8_760
BEGAN = datetime(2013, 1, 1, tzinfo=UTC)
SIGNER = CryptoSigner(Ed25519PrivateKey.generate())


@cache
def settings(*assignments: str) -> Settings:
    """The sandbox's parameters, and assignments over them."""
    return load(None, file=ROOT / "parameters" / "sandbox.yaml", assignments=["model=flights", *assignments])


def checked(number: int) -> dict[str, Any]:
    """What the check of hour ``number`` found: F1 goes up and down around its baseline by 0.049, and nothing drifts."""
    now = BEGAN + timedelta(hours=number)
    drift = tuple(
        FeatureDrift(feature=f"feature_{place}", psi=0.1 + place / 97, reference_rows=50_000, current_rows=20_000)
        for place in range(13)
    )
    facts = when_to_retrain.Facts(
        now=now, drift=drift, baseline_f1=0.88, f1=0.831 + number % 100 / 1000, f1_labels=5_000,
        last_trained_at=now,
    )  # fmt: skip
    return decided("when_to_retrain", facts, when_to_retrain.decide(facts, when_to_retrain.Policy()))


def decided(section: str, facts: Any, verdict: Any) -> dict[str, Any]:
    """The body of a verdict's entry."""
    policy = settings().policy(section)
    told = {"facts": facts, "policy": policy, "verdict": verdict}
    return {"section": section, "attempt": 1, **{name: each.model_dump(mode="json") for name, each in told.items()}}


def write_year(root: Path, runs: int) -> None:
    """Write that many runs, one an hour."""
    (root / "flights" / "entries").mkdir(parents=True)
    parameters = settings().model_dump(mode="json")
    page = decision_record.Facts()
    last = decided("decision_record", page, decision_record.decide(page, decision_record.Policy()))
    number, previous = 0, GENESIS
    for hour in range(runs):
        at, opened = BEGAN + timedelta(hours=hour), number + 1
        for kind, body in (
            ("opened", {"now": at.isoformat(), "parameters": parameters}),
            ("section_started", {"section": "when_to_retrain"}),
            ("waited", {"what": "warehouse", "seconds": 0.25}),
            ("waited", {"what": "service", "seconds": 0.25}),
            ("verdict", checked(hour)),
            ("ending", {"outcome": "no_action", "reason": ""}),
            ("section_started", {"section": "decision_record"}),
            ("verdict", last),
            ("closed", {"outcome": "no_action", "opened": opened, "files": {}}),
        ):
            number += 1
            fields: dict[str, Any] = {"model": "flights", "at": at, "writer": "bench", "signer": SIGNER}
            run = f"{at:%Y%m%dT%H%M%S}Z-bench"
            data = encode(number=number, previous=previous, kind=kind, run=run, body=body, **fields)
            (root / "flights" / entry_file(number)).write_bytes(data)
            previous = sha256(data)


def timed(act: Callable[[], object]) -> float:
    """Return CPU seconds: it is one process's own work, whatever else the machine does."""
    started = time.process_time()
    act()
    return time.process_time() - started


def parse_all(root: Path) -> None:
    """Read the same entries as JSON, and nothing more."""
    for file in (root / "flights" / "entries").iterdir():
        json.loads(b64decode(json.loads(file.read_bytes())["payload"]))


def year_again(root: Path, other: Settings, runs: int) -> None:
    """Backtest it all, and see that as many flip as should: a drop of more than 0.03 in twenty hours of a hundred."""
    found = backtest(root, other)
    due = sum(hour % 100 < 19 for hour in range(runs))
    assert (found.runs, len(found.flips)) == (runs, due), (found.runs, len(found.flips), due)


def main() -> None:
    """Write, measure in turns, print."""
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--runs", type=int, default=YEAR, help="hourly checks")
    chosen = arguments.parse_args()
    other = settings("when_to_retrain.f1_drop_tolerance=0.03")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_year(root, chosen.runs)
        sides: dict[str, Callable[[], object]] = {
            "backtest": partial(year_again, root, other, chosen.runs),
            "replay": partial(replay_all, root),
            "plain": partial(parse_all, root),
        }
        found = in_turns({name: partial(timed, act) for name, act in sides.items()}, chosen.rounds)
    bars = {"at_most": 60.0} if chosen.runs == YEAR else {}
    against = "parsing its entries as plain JSON"
    rows = [
        Row(f"retrain {name}, {chosen.runs:,} hourly checks, CPU time", against, found[name], found["plain"], **bars)
        for name in ("backtest", "replay")
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print_report(Report("Hindsight", rows, [f"At most {peak:,.0f} MB of memory."]), chosen.json)


if __name__ == "__main__":
    main()
