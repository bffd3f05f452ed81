"""The reference window's profile, frozen with production: its bins are asked once and kept with the records."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from retrain.checks import Evidence
from retrain.record import records
from retrain.warehouse import Answer, Profile

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["frozen_profile"]


def frozen_profile(run: Run) -> Answer[Profile] | None:
    """Return the profile of production's training window, or None where nothing says what that window is.

    The first run after a promotion asks the warehouse for it; later ones read the file, so that a check is one scan.
    A file of another window, or with other features than the settings name, or that cannot be read, is not used. A
    window without rows is not kept: they may come yet. The file is no part of the record, so the evidence holds the
    SHA-256 of what was used: production being the same, it changes only with the file.
    """
    production = run.production.value
    if production is None or production.reference_start is None or production.reference_end is None:
        return None
    beside = run.folder.path.parents[2] / ".reference" / run.model  # beside the record: it can be asked for again
    kept = beside / f"{production.reference_end:%Y%m%dT%H%M%SZ}.json"
    names = [feature.name for feature in run.warehouse.taken("features", run.warehouse.features)]
    profile = _read(kept)
    if profile is not None:
        window = (profile.reference_start, profile.reference_end)
        same = window == (production.reference_start, production.reference_end)
        if same and [told.feature.name for told in profile.features] == names:
            return _used(run, profile, kept)
    told = run.warehouse.reference_profile(
        reference_start=production.reference_start, reference_end=production.reference_end
    )
    if told.value.rows:
        beside.mkdir(parents=True, exist_ok=True)
        records.write_atomically(kept, _written(told.value))
    return _used(run, told.value, kept)


def _read(kept: Path) -> Profile | None:
    """Return the profile in a file; None where there is none, or none that this release can read."""
    try:
        return Profile.model_validate_json(kept.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _written(profile: Profile) -> str:
    return profile.model_dump_json(indent=1) + "\n"


def _used(run: Run, profile: Profile, kept: Path) -> Answer[Profile]:
    """Return the profile with its SHA-256, which is that of the file as it was first written."""
    sha256 = hashlib.sha256(_written(profile).encode()).hexdigest()
    note = f"reference profile {kept.name}"
    return Answer(profile, (Evidence(source="record", at=run.now, result_sha256=sha256, rows=profile.rows, note=note),))
