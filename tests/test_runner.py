"""What the runner gives each notebook: its parameters are tested with the notebooks, its time here."""

import pytest

from retrain import runbook, settings
from retrain.runner import cell_seconds

WAITS = {
    "training": ("deadline_minutes",),
    "blue_green_deployment": ("observe_seconds",),
    "post_deploy_monitoring": ("watch_minutes", "extension_minutes"),
    "rollback": ("observe_seconds",),
}


@pytest.mark.parametrize("section", [known.name for known in runbook.SECTIONS])
def test_a_cell_has_an_hour_beyond_what_its_section_waits_for(section: str) -> None:
    in_force = settings.load()
    policy = in_force.policy(section)
    waits = sum(getattr(policy, name) / (60 if name.endswith("seconds") else 1) for name in WAITS.get(section, ()))
    assert cell_seconds(in_force, section) == pytest.approx(60 * (60 + waits))
    assert waits or section not in WAITS


def test_no_policy_waits_longer_than_its_cells_may_take() -> None:
    """A field that names a wait is one of those above: the limit grows with each."""
    in_force = settings.load()
    for known in runbook.SECTIONS:
        fields = {name for name in type(in_force.policy(known.name)).model_fields if name.endswith("_minutes")}
        assert fields <= set(WAITS.get(known.name, ()))
    longer = settings.load(assignments=["training.deadline_minutes=600", "notebooks.cell_minutes=5"])
    assert cell_seconds(longer, "training") == 605 * 60
