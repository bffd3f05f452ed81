"""The judge: it reads the service's own log and the record, and nothing else.

Law: a request that changes something arrives at most once, and only after its intent was durable; what the record
says of it is so; the chain never looks tampered, and holds against the head; every case ends in a way that is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crash.cases import MODEL, Case, Place
from retrain.ledger import Entry, Head, Report, verify

__all__ = ["Judgement", "judge", "judge_settled", "look_over"]

_WHOSE = "whether by this request or by another's cannot be told"
ENDS = ("complete", "unresolved", "abandoned", "nothing begun")


@dataclass(frozen=True)
class Judgement:
    """How a case ended, what of it broke the law, and what the newest outcome of the act says."""

    ended: str
    violations: tuple[str, ...]
    outcome: str
    observed_by: str
    somebody_elses: bool


@dataclass(frozen=True)
class _Log:
    """The service's log of a case."""

    events: Sequence[dict[str, Any]]

    @classmethod
    def read(cls, place: Place) -> _Log:
        lines = place.requests.read_text().splitlines() if place.requests.exists() else []
        return cls([json.loads(line) for line in lines])

    def of(self, event: str, **about: Any) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event and all(one.get(k) == v for k, v in about.items())]


def judge(case: Case, place: Place) -> Judgement:
    """Judge a case that is over: a late apply has come, nobody lives any more."""
    log = _Log.read(place)
    entries = _entries(place)
    acts = [entry for entry in entries if entry.kind in ("intent", "sent", "outcome")]
    outcome = next((entry.body for entry in reversed(acts) if entry.kind == "outcome"), {})
    violations = [*_at_most_once(log, acts), *_true(case, log, acts), *_verifies(place, entries)]
    ended = _ended(entries, outcome)
    if ended not in ENDS:
        violations.append(f"it ended {ended}")
    applied = outcome.get("outcome") == "applied" and outcome.get("sent")
    return Judgement(
        ended=ended,
        violations=tuple(violations),
        outcome=outcome.get("outcome", "none"),
        observed_by=outcome.get("observed_by", "none"),
        somebody_elses=bool(applied and not log.of("applied", by="run")),
    )


def look_over(place: Place) -> list[str]:
    """Judge the record right after a death: unfinished, but never tampered, and in line with the head outside."""
    if not place.record.exists():
        return []
    report = _report(place, place.head.read())
    return [f"after a death: {finding.file}: {finding.problem}" for finding in report.findings if _is_bad(finding)]


def judge_settled(place: Place) -> list[str]:
    """Judge the record after a person has settled what was unresolved."""
    status = _report(place, place.head.read()).status
    return [] if status == "verified" else [f"settled, and verify says {status}"]


def _is_bad(finding: Any) -> bool:
    return bool(finding.grade == "tampered")


def _entries(place: Place) -> list[Entry]:
    chain = place.chain(None)
    return chain.entries() if place.record.exists() else []


def _report(place: Place, head: Head | None) -> Report:
    return verify(place.record, pinned=place.keys.pinned, head=head, model=MODEL)


def _at_most_once(log: _Log, acts: Sequence[Entry]) -> Iterator[str]:
    arrived, ours = log.of("arrived"), log.of("applied", by="run")
    if len(ours) > 1:
        yield f"double effect: applied {len(ours)} times"
    if len(arrived) > 1:
        yield f"sent {len(arrived)} times"
    for request in arrived:
        if not any(entry.kind == "intent" and entry.at.timestamp() <= request["at"] for entry in acts):
            yield "a request arrived before any intent was in the record"


def _true(case: Case, log: _Log, acts: Sequence[Entry]) -> Iterator[str]:
    for entry in acts:
        at = entry.at.timestamp()
        if entry.kind == "sent":
            yield from _true_of_sending(log, entry.body)
        elif entry.kind == "outcome" and entry.body["outcome"] == "applied":
            yield from _true_if_applied(case, log, entry.body, at)
        elif entry.kind == "outcome" and entry.body["outcome"] == "not_sent":
            yield from _true_if_not_sent(log, entry.body, at)
        elif entry.kind == "outcome" and not entry.body["sent"]:
            yield f"false record: {entry.body['outcome']}, though nothing was sent"


def _true_of_sending(log: _Log, body: dict[str, Any]) -> Iterator[str]:
    request = ((body["answer"] or {}).get("evidence") or {}).get("request_id")
    if body["never_left"] and log.of("arrived", request=request):
        yield "false record: it says that a request never left, and it arrived"
    told = [one["code"] for one in log.of("answered", request=request)]
    if request is not None and body["accepted"] and not any(200 <= code < 300 for code in told):
        yield f"false record: accepted, and the service answered {told}"
    if body["refused"] and not any(400 <= code < 500 for code in told):
        yield f"false record: refused, and the service answered {told}"


def _true_if_applied(case: Case, log: _Log, body: dict[str, Any], at: float) -> Iterator[str]:
    if body["observed_by"] == "response":
        if not any(200 <= one["code"] < 300 for one in log.of("answered")) or not log.of("applied", by="run"):
            yield "false record: applied by response, and the service never said so or never did it"
        return
    done = [one for one in log.of("applied") if one["at"] <= at]
    if case.world.wanted is not None:
        done = [one for one in done if one["active"] == case.world.wanted]
    if not done:
        yield f"false record: applied ({body['observed_by']}), and the service had not done it by then"
    if body["sent"] and _WHOSE not in body["detail"] and not [one for one in done if one["by"] == "run"]:
        yield "false record: it claims as its own what another brought about"


def _true_if_not_sent(log: _Log, body: dict[str, Any], at: float) -> Iterator[str]:
    if not body["sent"] and any(one["at"] <= at for one in log.of("arrived")):
        yield "false record: not sent, and it had arrived"
    if body["sent"] and log.of("applied", by="run"):
        yield "false record: refused and not done, and the service did it"


def _verifies(place: Place, entries: Sequence[Entry]) -> Iterator[str]:
    """What is closed and settled is verified with the head and unanchored without; what is not is incomplete."""
    if not entries:
        return
    kept = place.head.read()
    report, bare = _report(place, kept), _report(place, None)
    yield from (f"{finding.file}: {finding.problem}" for finding in report.findings if _is_bad(finding))
    whole = "incomplete" if _is_open(entries) else "verified"
    if report.status != whole:
        yield f"verify says {report.status} with the head, and it should be {whole}"
    if bare.status != ("incomplete" if whole == "incomplete" else "unanchored"):
        yield f"verify says {bare.status} without a head"


def _is_open(entries: Sequence[Entry]) -> bool:
    settled = [entry for entry in entries if entry.kind in ("intent", "outcome", "resolved")]
    if not settled or entries[-1].kind not in ("closed", "resolved"):
        return bool(settled) or entries[-1].kind != "closed"
    last = settled[-1]
    return last.kind == "intent" or last.body["outcome"] == "unresolved"


def _ended(entries: Sequence[Entry], outcome: dict[str, Any]) -> str:
    if not entries or "opened" not in [entry.kind for entry in entries if entry.run == "run-1"]:
        return "nothing begun"
    seals = [entry.kind for entry in entries if entry.run == "run-1" and entry.kind in ("closed", "abandoned")]
    if seals != ["closed"]:
        return "abandoned" if seals == ["abandoned"] else f"with the seals {seals}"
    if outcome.get("outcome") in ("applied", "not_sent"):
        return "complete"
    return "unresolved" if outcome.get("outcome") == "unresolved" else "closed without an outcome"
