"""The reference window's profile, frozen with production: its bins are asked once and kept with the records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain.record import records
from retrain.warehouse import Profile

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["frozen_profile"]


def frozen_profile(run: Run) -> Profile | None:
    """Return the profile of production's training window, or None where nothing says what that window is.

    The first run after a promotion asks the warehouse for it; later ones read the file, so that a check is one scan.
    A file of another window, or with other features than the settings name, is not used.
    """
    production = run.production.value
    if production is None or production.reference_start is None or production.reference_end is None:
        return None
    beside = run.folder.path.parents[2] / ".reference" / run.model  # beside the record: it can be asked for again
    kept = beside / f"{production.reference_end:%Y%m%dT%H%M%SZ}.json"
    names = [feature.name for feature in run.warehouse.taken("features", run.warehouse.features)]
    if kept.exists():
        profile = Profile.model_validate_json(kept.read_text(encoding="utf-8"))
        window = (profile.reference_start, profile.reference_end)
        same = window == (production.reference_start, production.reference_end)
        if same and [told.feature.name for told in profile.features] == names:
            return profile
    told = run.warehouse.reference_profile(
        reference_start=production.reference_start, reference_end=production.reference_end
    )
    beside.mkdir(parents=True, exist_ok=True)
    records.write_atomically(kept, told.value.model_dump_json(indent=1) + "\n")
    return told.value
