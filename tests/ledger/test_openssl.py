"""A stranger can check one entry with openssl and sha256sum alone: the very commands that are shown are run."""

import json
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

import retrain.ledger
from retrain.ledger import decode, public_pem
from retrain.ledger.keys import pin, save_pinned

from .small import RUNNER, Record, make_signer

README = Path(__file__).parents[2] / "README.md"


def steps(shown: str) -> str:
    """The commands in the package's docstring or in the README, stopping at the first that fails."""
    if shown == "docstring":
        told = re.search(r"::\n\n(    .*)\Z", retrain.ledger.__doc__ or "", re.S)
    else:
        told = re.search(r"```sh\n(entry=entries/.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert told
    assert "openssl pkeyutl -verify" in told[1]
    return "set -eu\n" + textwrap.dedent(told[1])


@pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("sha256sum"), reason="needs openssl and sha256sum")
@pytest.mark.parametrize("shown", ["docstring", "README"])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_steps_that_are_shown_check_an_entry(record: Record, shown: str, flipped: bool) -> None:
    """A true entry passes, with its key id and the hash that the next one holds; one with another letter does not."""
    record.whole_run("run-1")
    entry, after = (decode(record.entry(number).read_bytes(), name="x") for number in (1, 2))
    (record.folder / "runner.pem").write_text(public_pem(RUNNER))
    if flipped:
        data = record.entry(1).read_bytes()
        record.entry(1).write_bytes(data.replace(b'"payload":"ey', b'"payload":"fy'))
    done = subprocess.run(["bash", "-c", steps(shown)], cwd=record.folder, capture_output=True, text=True, timeout=60)
    if flipped:
        assert done.returncode != 0
        return
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "Signature Verified Successfully" in said[0]
    assert said[1].split()[0] == next(iter(entry.envelope.signatures))
    assert said[-1].split()[0] == after.previous


def test_the_readme_takes_a_key_out_of_the_pinned_ones(tmp_path: Path) -> None:
    """The first of two, as a PEM file that openssl reads."""
    save_pinned(
        tmp_path / "pinned.json", [pin(public_pem(key), role="runner", name="x") for key in (RUNNER, make_signer(9))]
    )
    first = json.loads((tmp_path / "pinned.json").read_text())["keys"][0]["public"]
    told = re.search(r"```sh\n(sed .* pinned\.json .*)\n```", README.read_text(encoding="utf-8"))
    assert told
    subprocess.run(["bash", "-c", f"set -eu\n{told[1]}"], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "runner.pem").read_text() == first
