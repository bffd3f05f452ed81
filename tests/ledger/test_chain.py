"""The chain grows by one number at a time, its head is found without listing, and losing a race is not losing a run."""

from pathlib import Path

import pytest

from retrain import ledger
from retrain.errors import UsageError
from retrain.ledger import Chain, FolderStore, Head, Malformed, Missing, StoreError, find_head, read_head
from retrain.ledger.chain import HINT
from retrain.ledger.entries import GENESIS, Entry, sha256

from .small import MODEL, RUNNER, Clock, Record


class Bucket(FolderStore):
    """A folder that counts questions as if each were a request."""

    remote = True
    asked = 0

    def within(self, folder: str) -> "Bucket":
        return Bucket(self._folder / folder, root=self._root)

    def exists(self, name: str) -> bool:
        Bucket.asked += 1
        return super().exists(name)


def anything(fresh: list[Entry]) -> None:
    """A guard that lets everything through."""


def grown(chain: Chain, by: int) -> Head:
    for _ in range(by):
        chain.append("verdict", run="run-1", body={}, guard=anything)
    return chain.head()


@pytest.mark.parametrize("newest", [*range(70), 1_000, 99_999, 100_000])
@pytest.mark.parametrize("start", [0, 1, 60, 10**9])
def test_the_head_is_found_with_few_questions(newest: int, start: int) -> None:
    """Doubling and halving: about 2·log2 questions, from any guess, true or not."""
    asked: list[int] = []

    def exists(number: int) -> bool:
        asked.append(number)
        return 1 <= number <= newest

    assert find_head(exists, start=start) == newest
    assert len(asked) <= 2 * max(newest, 1).bit_length() + 2


def test_each_entry_holds_the_hash_of_the_one_before(record: Record) -> None:
    """The first holds zeros, the second the SHA-256 of the first one's file, and so on; the head that of the newest."""
    head = grown(record.chain(), 3)
    files = [record.entry(number).read_bytes() for number in (1, 2, 3)]
    chain = record.chain()
    assert [entry.previous for entry in chain.entries()] == [GENESIS, sha256(files[0]), sha256(files[1])]
    assert head == chain.head() == Head(3, sha256(files[2]))
    assert [entry.number for entry in chain.entries(start=2)] == [2, 3]


def test_an_empty_chain_has_a_head_too(record: Record) -> None:
    """Number 0 and the hash that the first entry will hold."""
    assert record.chain().head() == Head(0, GENESIS)
    assert record.chain().entries() == []


def test_a_writer_that_was_overtaken_goes_on_after_the_others(record: Record) -> None:
    """Its guard sees what came in between, in order; then its own entry follows that."""
    slow, fast = record.chain(), record.chain()
    assert (slow.head().number, grown(fast, 3).number) == (0, 3)
    seen: list[int] = []
    entry = slow.append("verdict", run="run-1", body={}, guard=lambda fresh: seen.extend(each.number for each in fresh))
    assert (seen, entry.number) == ([1, 2, 3], 4)
    assert entry.previous == fast.entry(3).sha256


def test_a_guard_can_forbid_to_go_on(record: Record) -> None:
    """What the guard raises comes out, and nothing is written."""
    slow = record.chain()
    slow.head()
    grown(record.chain(), 1)

    def never(fresh: list[Entry]) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        slow.append("verdict", run="run-1", body={}, guard=never)
    assert record.chain().head().number == 1


def test_an_entry_that_is_not_there_or_not_one(record: Record) -> None:
    """Missing and malformed are told apart, and name the file."""
    with pytest.raises(Missing, match=r"entries/00000001\.json"):
        record.chain().entry(1)
    grown(record.chain(), 1)
    record.entry(1).write_bytes(b"{}")
    with pytest.raises(Malformed, match=r"entries/00000001\.json"):
        record.chain().head()


def test_names_are_checked_before_they_are_paths(record: Record) -> None:
    """Neither a model nor a run leads out of the folder."""
    with pytest.raises(UsageError, match="model"):
        Chain(FolderStore(record.root), "../x")
    with pytest.raises(UsageError, match="run"):
        record.chain().append("verdict", run="../x", body={}, guard=anything)


def bucket(record: Record) -> Chain:
    return Chain(Bucket(record.root), MODEL, signer=RUNNER, now=Clock())


def test_a_remote_chain_is_found_from_its_hint(record: Record) -> None:
    """With a hint, finding the head asks as many questions at 60 entries as at 5."""
    questions = []
    for more in (5, 55):
        chain = bucket(record)
        grown(chain, more)
        assert chain.leave_hint() == chain.head()
        Bucket.asked = 0
        bucket(record).head()
        questions.append(Bucket.asked)
    assert questions[0] == questions[1] == 2


@pytest.mark.parametrize("hint", [b"", b"[]", b'{"number":99,"sha256":"' + b"0" * 64 + b'"}', None])
def test_a_hint_is_never_trusted(record: Record, hint: bytes | None) -> None:
    """Torn, of another form, beyond the head or absent: the head is found all the same."""
    chain = bucket(record)
    grown(chain, 5)
    chain.leave_hint()
    path = record.folder / HINT
    path.write_bytes(hint) if hint is not None else path.unlink()
    assert bucket(record).head() == chain.head()


def test_a_local_chain_needs_no_hint(record: Record) -> None:
    """Asking a folder costs nothing, so there is one file less to explain."""
    chain = record.chain()
    assert chain.leave_hint().number == 0
    assert not record.folder.exists()


@pytest.mark.parametrize(
    "value", ["{", "[]", '{"number":1}', '{"number":true,"sha256":"x"}', '{"number":1,"sha256":7}']
)
def test_what_is_no_head_is_refused(value: str) -> None:
    """A head is a number and a hash, in canonical form."""
    with pytest.raises(Malformed, match="h is not a head"):
        read_head(value.encode(), name="h")
    assert read_head(bytes(Head(3, GENESIS)), name="h") == Head(3, GENESIS)


def test_a_store_that_fails_fails_the_append(record: Record, tmp_path: Path) -> None:
    """Nothing is made of an error: the entry does not count."""
    record.root.write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreError):
        record.chain().append("verdict", run="run-1", body={}, guard=anything)


def test_what_was_read_can_be_forgotten(record: Record) -> None:
    """Then an entry is read from its file again."""
    record.whole_run("run-1")
    chain = record.chain(None)
    first = chain.entry(1)
    assert chain.entry(1) is first
    chain.forget()
    assert chain.entry(1) is not first
    assert chain.entry(1) == first


def test_the_package_has_only_its_public_names() -> None:
    """They are imported when they are asked for; another name is an error like in any module."""
    assert {name: getattr(ledger, name).__name__ for name in ("Chain", "verify")} == {
        "Chain": "Chain",
        "verify": "verify",
    }
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        _ = ledger.nobody
