"""Private keys stay with their owner; a public key is trusted for a role."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from retrain.errors import UsageError
from retrain.ledger import load_pinned, load_signer, make_key, pin, public_pem, save_pinned

from .small import PINNED, RUNNER


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The first use makes the key, any other leaves it as it is; nobody else may read it."""
    path = tmp_path / "keys" / "runner.pem"
    assert make_key(path)
    first = path.read_bytes()
    assert not make_key(path)
    assert path.read_bytes() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["runner.pem"]


def test_two_that_make_the_key_at_once_end_with_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second takes the key that is there."""
    path = tmp_path / "runner.pem"
    path.write_text("the first one's")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert not make_key(path)
    assert path.read_text() == "the first one's"
    assert [each.name for each in tmp_path.iterdir()] == ["runner.pem"]


def test_pinned_keys_come_back_as_they_were_saved(tmp_path: Path) -> None:
    """Key id, role and name survive the file; the id is the key's own hash."""
    save_pinned(tmp_path / "pinned.json", PINNED.values())
    assert load_pinned(tmp_path / "pinned.json") == PINNED


def test_a_signer_s_public_part_can_be_pinned(tmp_path: Path) -> None:
    """What is signed with a loaded key holds by its pinned public part, under the same id."""
    make_key(tmp_path / "a.pem")
    signer = load_signer(tmp_path / "a.pem")
    key = pin(public_pem(signer), role="runner", name="a")
    assert key.keyid == signer.public_key.keyid
    key.key.verify_signature(signer.sign(b"x"), b"x")


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing or unreadable key is named."""
    path = tmp_path / "a.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.pem"):
        load_signer(path)


def test_only_ed25519_will_do(tmp_path: Path) -> None:
    """Another kind of key is refused, private or public."""
    other = generate_private_key(SECP256R1())
    (tmp_path / "a.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UsageError, match="not an Ed25519"):
        load_signer(tmp_path / "a.pem")
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(UsageError, match="not an Ed25519"):
        pin(pem, role="runner", name="a")


def test_roles_and_keys_are_checked_when_pinned() -> None:
    """A role that does not exist is refused with the nearest one, and so is what is no key."""
    with pytest.raises(UsageError, match="Did you mean 'runner'"):
        pin(public_pem(RUNNER), role="runer", name="a")
    with pytest.raises(UsageError, match="not a public key"):
        pin("nonsense", role="runner", name="a")


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"keys": [1]}', '{"keys": [{"public": 1, "role": "runner", "name": ""}]}']
)
def test_a_file_without_pinned_keys_is_refused(tmp_path: Path, content: str | None) -> None:
    """A file in another form is named."""
    if content is not None:
        (tmp_path / "pinned.json").write_text(content)
    with pytest.raises(UsageError, match=r"pinned\.json"):
        load_pinned(tmp_path / "pinned.json")


def test_a_key_id_that_is_not_the_key_s_is_refused(tmp_path: Path) -> None:
    """An id cannot be put on another key."""
    save_pinned(tmp_path / "pinned.json", PINNED.values())
    rows = json.loads((tmp_path / "pinned.json").read_text())
    rows["keys"][0]["keyid"] = "0" * 64
    (tmp_path / "pinned.json").write_text(json.dumps(rows))
    with pytest.raises(UsageError, match="key id"):
        load_pinned(tmp_path / "pinned.json")
