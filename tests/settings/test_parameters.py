"""Wrong parameters: every mistake a tired person makes is refused once, with file, line, name and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrain import runbook
from retrain.errors import UsageError
from retrain.settings import Settings, load, strict_yaml
from retrain.settings.complaints import dotted_names
from retrain.settings.parameters import MAXIMUM_BYTES

ROOT = Path(__file__).resolve().parents[2]
HEAD = "environment: sandbox\nsandbox: {home: null}\n"
PYDANTIC = ("Input should", "type=", "Value error", "validation error", "pydantic", "Traceback")


def wrong(folder: Path, text: str | bytes, *assignments: str, head: str = HEAD) -> str:
    """Load a file with ``text`` after the sandbox's head, and return the one message that refuses it."""
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else (head + text).encode())
    with pytest.raises(UsageError) as refused:
        load(file=path, assignments=assignments)
    message = str(refused.value).replace(f"{folder}/", "")
    assert not any(word in message for word in PYDANTIC)
    return message


IN_FILE = {
    # names
    "unknown name": ("evaluation_gate: {f1_tolerence: 0.01}", "line 3: evaluation_gate.f1_tolerence", "'f1_tolerance'"),
    "unknown block": (
        "evaluation_gaet: {}",
        "line 3: evaluation_gaet is not a known name. Did you mean 'evaluation_gate'",
    ),
    "name without its block": ("watch_minutes: 5", "line 3: watch_minutes", "belongs to post_deploy_monitoring"),
    "name of a remedy's field": ("if_retraining_fails: {remedies: {unknown: [{nam: a}]}}", "nam is not a known name"),
    "unknown cause": ("if_retraining_fails: {remedies: {data_imbalanse: []}}", "Did you mean 'data_imbalance'"),
    "name twice": (
        "training:\n  poll_seconds: 1\n  poll_seconds: 2",
        "line 5: training.poll_seconds is written twice; the first is on line 4",
    ),
    "block twice": ("training: {}\nrollback: {}\ntraining: {}", "line 5: training is written twice"),
    "name that is a boolean": ("on: 1", "line 3: on is not a name, to all YAML readers alike"),
    "name that is a list": ("? [a]\n: 1", "line 3: has a list or a block where a name belongs"),
    # types
    "quoted number": (
        "training: {poll_seconds: '0.5'}",
        "must be a number, not the text '0.5': write 0.5, without quotes",
    ),
    "boolean for a number": ("prerequisites: {minimum_new_samples: true}", "must be a whole number, not true"),
    "decimal for a whole number": (
        "prerequisites: {minimum_new_samples: 5.5}",
        "must be a whole number, not the number 5.5",
    ),
    "exponent for a whole number": ("prerequisites: {minimum_new_samples: 1e4}", "not the number 1e4: write 10000"),
    "thousands with commas": ("prerequisites:\n  minimum_new_samples: 10,000", "line 4", "write 10000"),
    "number for text": (
        "training: {data_version: 1.10}",
        'must be text, not the number 1.10: put it in quotes, "1.10"',
    ),
    "text for a list": (
        "prerequisites: {quality_statuses: healthy}",
        "must be a list, not the text 'healthy': write [healthy]",
    ),
    "number in a list of texts": ("prerequisites: {quality_statuses: [1]}", "quality_statuses.0 must be text"),
    "value for a block": ("training: 5", "training must be a block of names and values, not the number 5"),
    "list for a block": ("training: [a]", "training must be a block of names and values, not a list"),
    "null for a figure": ("training: {poll_seconds: null}", "is null and must be filled in: between two looks"),
    "nothing for a figure": ("training:\n  poll_seconds:", "line 4: training.poll_seconds has no value: write null"),
    "no such option": ("when_to_retrain: {psi_aggregate: maxx}", "must be one of mean, max. Did you mean 'max'"),
    # range
    "above one": ("evaluation_gate: {recall_floor: 80}", "recall_floor is 80; it must be at most 1"),
    "below zero": ("evaluation_gate: {recall_floor: -0.1}", "recall_floor is -0.1; it must be at least 0"),
    "zero seconds": ("training: {poll_seconds: 0}", "poll_seconds is 0; it must be more than 0"),
    "a certainty": ("post_deploy_monitoring: {false_rollback_rate: 1}", "it must be less than 1"),
    "not a number": ("when_to_retrain: {psi_ceiling: .nan}", "psi_ceiling is .nan: it must be a finite number"),
    "infinite": ("when_to_retrain: {psi_ceiling: -.inf}", "it must be a finite number"),
    "overflow": ("when_to_retrain: {psi_ceiling: 1e999}", "it must be a finite number"),
    "nan as a word": ("when_to_retrain: {psi_ceiling: nan}", "must be a number, not the text 'nan'"),
    "too large to record": ("training: {extra_body: {a: 9007199254740993}}", "may be larger than 9007199254740991"),
    # traps of YAML
    "off": ("training: {data_version: off}", "is off, which is true or false to some", '"off" in quotes'),
    "yes": ("model: yes", "model is yes, which is true or false to some"),
    "date": ("training: {data_version: 2013-06-09}", 'is a bare date, 2013-06-09: put it in quotes, "2013-06-09"'),
    "timestamp": ("training:\n  data_version: 2013-06-09 02:00:00Z", "is a bare date"),
    "octal": ("model: 007", "model is 007, and some YAML readers take a leading zero for octal"),
    "octal of 1.2": ("prerequisites: {minimum_new_samples: 0o17}", "is 0o17: write the number in plain decimal"),
    "hexadecimal": ("prerequisites: {minimum_new_samples: 0xFF}", "is 0xFF: write the number in plain decimal"),
    "underscores": ("prerequisites: {minimum_new_samples: 10_000}", "is 10_000: write the number without underscores"),
    "sixties": ("when_to_retrain: {schedule: 02:00}", "is 02:00"),
    "sixties without a zero": ("model: 12:30:45", "is 12:30:45, which some YAML readers count in sixties"),
    "version in a free block": ("training: {extra_body: {v: 1.10}}", 'extra_body.v is 1.10: write "1.10" in quotes'),
    "alias and anchor": ("training: &a {poll_seconds: 1}\nrollback: *a", "line 3: training uses an anchor or alias"),
    "billion laughs": ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "line 3: a uses an anchor or alias"),
    "merge key": ("training:\n  <<: {poll_seconds: 1}", "line 4: training.<< is a merge key"),
    "tag": ("model: !!python/object/apply:os.system [ls]", "line 3: model has a tag"),
    "harmless tag": ("model: !!str 5", "line 3: model has a tag"),
    "unquoted star": ("when_to_retrain:\n  schedule: */5 * * * *", "line 4", "quote"),
    "unquoted at": ("model: @fraud", "line 3: has a value that begins with a sign YAML keeps for itself"),
    # shape of the file
    "tab": ("training:\n\tpoll_seconds: 1", "line 4: holds a tab: indent with spaces"),
    "indented too far": ("training:\n  poll_seconds: 1\n   deadline_minutes: 2", "line 5", "mend the indentation"),
    "value over two lines": ("model: two\n  words", "line 3: model runs over several lines"),
    "quote left open": ("model: 'fraud\nrollback: {}", "line 3: has an opening quote or bracket that is never closed"),
    "bracket left open": ("warehouse: {features: [a, b", "never closed"),
    "no colon": ("training\n", "is out of line"),
    "two documents": ("model: a\n---\nmodel: b", "must be a single document"),
    "control character": ("model: a\x07", "line 3: holds a control character"),
    "half a letter": ('training: {extra_body: {a: "\\ud800"}}', "extra_body.a holds a control character"),
    "too deep": ("training: {extra_body: {a: " + "[" * 2000 + "]" * 2000 + "}}", "is nested more than 16 deep"),
    # meaning
    "no status": ("prerequisites: {quality_statuses: []}", "quality_statuses must hold at least 1, and holds 0"),
    "status twice": ("prerequisites: {quality_statuses: [healthy, healthy]}", "holds 'healthy' more than once"),
    "blank status": ("prerequisites: {quality_statuses: [healthy, ' ']}", "has a text that is empty or has blanks"),
    "cron out of range": ("when_to_retrain: {schedule: 0 25 * * *}", "is no cron expression of five fields"),
    "cron that never comes": ("when_to_retrain: {schedule: 0 0 31 2 *}", "is no cron expression of five fields"),
    "cron with seconds": ("when_to_retrain: {schedule: 0 0 2 * * 0}", "is no cron expression of five fields"),
    "cron nickname": ("when_to_retrain: {schedule: '@weekly'}", "is no cron expression of five fields"),
    "incident that blocks": ("if_retraining_fails: {incident_severity: P1}", "would block every later run"),
    "incident that blocks, in another case": (
        "if_retraining_fails: {incident_severity: p1}",
        "would block every later run",
    ),
    "blocking the incident": (
        "prerequisites: {blocking_severities: [P1, P2]}",
        "line 3: prerequisites.blocking_severities",
    ),
    "the body's own field": ("training: {extra_body: {model_type: x}}", "set training.model_type instead"),
    "remedy that changes nothing": ("if_retraining_fails: {remedies: {unknown: [{name: a, body: {}}]}}", "empty body"),
    "remedies of one name": (
        "if_retraining_fails: {remedies: {unknown: [{name: a, body: {x: 1}}, {name: a, body: {x: 2}}]}}",
        "needs a name of its own, and has 'a'",
    ),
    # the outside
    "hostile table": ("warehouse: {tables: {transactions: 'T; DROP TABLE X'}}", "it must be TABLE, SCHEMA.TABLE or"),
    "table of four parts": ("warehouse: {tables: {transactions: A.B.C.D}}", "it must be TABLE, SCHEMA.TABLE or"),
    "quoted table": ("warehouse: {tables: {transactions: '\"T\"'}}", "it must be TABLE, SCHEMA.TABLE or"),
    "table with a line break": ('warehouse: {tables: {transactions: "T\\n"}}', "it must be TABLE, SCHEMA.TABLE or"),
    "hostile column": ("warehouse: {columns: {label: '1=1 --'}}", "must be an unquoted SQL name"),
    "hostile feature": ("warehouse: {features: [a, 'b)']}", "features.1", "must be an unquoted SQL name"),
    "feature twice": ("warehouse: {features: [a, A]}", "warehouse.features names A more than once"),
    "one table for two": (
        "warehouse: {tables: {transactions: incidents}}",
        "names the same table for transactions and",
    ),
    "one column for two": ("warehouse: {columns: {label: transaction_id}}", "names the same column"),
    "one path for two": ("service: {paths: {reload: /predict/batch}}", "names the same path for predict and reload"),
    "path that climbs": ("service: {paths: {reload: /a/../b}}", "must be a path on the service"),
    "path elsewhere": ("service: {paths: {reload: '//evil.example/x'}}", "must be a path on the service"),
    "other scheme": ("service: {base_url: 'file:///etc'}", "is not a URL with http or https and a host"),
    "no scheme": ("service: {base_url: 'localhost:8080'}", "is not a URL with http or https and a host"),
    "no host": ("service: {base_url: 'http://'}", "is not a URL with http or https and a host"),
    "port too large": ("service: {base_url: 'http://h:99999'}", "is not a URL (port out of range"),
    "query": ("service: {base_url: 'http://h/?a=1'}", "holds a query or a fragment"),
    "line break in a URL": ('service: {base_url: "http://h\\n.example"}', "holds a letter that no URL has"),
    "store of another kind": ("records: {url: 'ftp://h/x'}", "known are file://, s3://, gs://, az://"),
    "folder in a model": ("model: ../../etc", "model is '../../etc'; it must be letters, digits"),
    "dots for a model": ("model: '..'", "model is '..'; it must be letters, digits"),
    "model too long": ("model: " + "x" * 81, "hold at most 80"),
    # secrets
    "password": ("warehouse: {password: hunter2}", "warehouse.password looks like a secret", "connections.toml"),
    "token": ("service: {token: abc}", "service.token looks like a secret", "service.token_environment_variable"),
    "password in a free block": ("training: {extra_body: {api_key: abc}}", "extra_body.api_key looks like a secret"),
    "password in a URL": ("service: {base_url: 'http://me:hunter2@h'}", "service.base_url looks like a secret"),
    "signed store": ("records: {url: 's3://b/x?sig=hunter2'}", "records.url looks like a secret"),
    "token for a name": (
        "service: {token_environment_variable: hunter2}",
        "must be the NAME of an environment variable",
    ),
}


@pytest.mark.parametrize("case", IN_FILE.values(), ids=IN_FILE.keys())
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, case: tuple[str, ...]) -> None:
    """File, line, name, what was wrong, the nearest right thing; never a library's own words, nor a secret."""
    text, *expected = case
    message = wrong(tmp_path, text)
    assert message.startswith("mine.yaml, line ") or "things are wrong" in message
    for words in expected:
        assert words in message
    assert "hunter2" not in message


WHOLE_FILES = {
    "empty": (b"", "mine.yaml is empty"),
    "only comments": (b"# nothing\n", "mine.yaml: holds no values, only comments"),
    "a list": (b"- 1\n", "mine.yaml: must hold blocks of names and values"),
    "a word": (b"sandbox\n", "mine.yaml: must hold blocks of names and values"),
    "UTF-16": ("model: a\n".encode("utf-16"), "mine.yaml, line 1: this is not UTF-8 text"),
    "Latin-1": (b"environment: sandbox\nmodel: caf\xe9\n", "mine.yaml, line 2: this is not UTF-8 text"),
    "huge": (b"# x\n" * (MAXIMUM_BYTES // 4 + 1), "mine.yaml is larger than 256 KiB"),
    "YAML 1.1": (b"%YAML 1.1\n---\nmodel: a\n", "must be a single document without directives"),
    "no environment": (b"sandbox: {}\n", "mine.yaml: environment is missing"),
    "no service": (b"environment: live\nmodel: a\n", "service.base_url is not set, and must be filled in outside"),
    "no model": (b"environment: live\nservice: {base_url: 'http://h'}\n", "model is not set, and must be filled in"),
}


@pytest.mark.parametrize("case", WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_a_file_that_is_no_parameter_file_is_refused(tmp_path: Path, case: tuple[bytes, str]) -> None:
    """What cannot be read, or says nothing, is not taken for a file of defaults."""
    assert case[1] in wrong(tmp_path, case[0])


ASSIGNMENTS = {
    "no value": (
        "training.poll_seconds",
        "--set training.poll_seconds: is not an assignment: write section.name=value",
    ),
    "no name": ("=5", "is not an assignment"),
    "empty": ("model=", "--set model=: model has no value"),
    "wrong type": (
        "training.poll_seconds=fast",
        "--set training.poll_seconds=fast: training.poll_seconds must be a number",
    ),
    "quoted number": ("training.poll_seconds='5'", "must be a number, not the text '5': write 5, without quotes"),
    "out of range": ("evaluation_gate.recall_floor=2", "--set evaluation_gate.recall_floor=2", "it must be at most 1"),
    "unknown section": (
        "trainning.poll_seconds=5",
        "--set trainning.poll_seconds=5: trainning",
        "Did you mean 'training'",
    ),
    "unknown name": ("training.pol_seconds=5", "--set training.pol_seconds=5", "Did you mean 'poll_seconds'"),
    "no section": ("watch_minutes=5", "watch_minutes belongs to post_deploy_monitoring"),
    "whole block": ("training={poll_seconds: 5}", "is a block: set one of its names, as in training.name=value"),
    "below a value": ("training.poll_seconds.x=1", "training.poll_seconds"),
    "environment": ("environment=production", "choose the environment with --environment"),
    "date": ("training.data_version=2013-06-09", "is a bare date"),
    "off": ("training.data_version=off", '"off" in quotes'),
    "comment": ("model=a # b", "holds a '#', which begins a comment"),
    "alias": ("when_to_retrain.schedule=*/5 * * * *", "put it in quotes"),
    "hostile table": ("warehouse.tables.transactions=X; DROP TABLE Y", "it must be TABLE, SCHEMA.TABLE or"),
    "secret": ("service.token=hunter2", "--set service.token=…: looks like a secret"),
    "secret in a URL": ("service.base_url=http://me:hunter2@h", "--set service.base_url=…: looks like a secret"),
    "secret in a query": ("service.base_url=http://h/?token=hunter2", "--set service.base_url=…"),
    "dunder": ("__class__.x=1", "--set __class__.x=1: __class__ is not a known name"),
}


@pytest.mark.parametrize("case", ASSIGNMENTS.values(), ids=ASSIGNMENTS.keys())
@pytest.mark.parametrize("file", ["", (ROOT / "parameters" / "sandbox.yaml").read_text(encoding="utf-8")])
def test_a_wrong_assignment_is_refused_and_named(tmp_path: Path, file: str, case: tuple[str, ...]) -> None:
    """An assignment is held to the file's rules, over a bare file and over a full one, and its message names it."""
    text, *expected = case
    message = wrong(tmp_path, file, text, head="" if file else HEAD)
    for words in ("--set ", *expected):
        assert words in message
    assert "hunter2" not in message


def test_an_assignment_given_twice_is_refused(tmp_path: Path) -> None:
    """Which of two was meant is not guessed."""
    assert "--set model=b: is given twice" in wrong(tmp_path, "", "model=a", "model=b")


def test_assignments_are_typed_like_the_file() -> None:
    """Text stays text, figures are figures, nested and free blocks are reached, and the file gives way."""
    settings = load(
        root=ROOT,
        assignments=[
            "service.base_url=http://127.0.0.1:8080",
            "post_deploy_monitoring.watch_minutes=5",
            "warehouse.tables.transactions=LIVE.PUBLIC.PAYMENTS",
            "service.paths.health=null",
            "training.extra_body.hyperparameters.epochs=60",
            'model="007"',
            "when_to_retrain.schedule='*/5 * * * *'",
            "sandbox.home=somewhere/else",
        ],
    )
    assert settings.service.base_url == "http://127.0.0.1:8080"
    assert settings.post_deploy_monitoring.watch_minutes == 5
    assert settings.warehouse.tables.transactions == "LIVE.PUBLIC.PAYMENTS"
    assert settings.service.paths.health is None
    assert settings.training.extra_body == {"hyperparameters": {"epochs": 60}}
    assert settings.model == "007"
    assert settings.when_to_retrain.schedule == "*/5 * * * *"
    assert settings.sandbox is not None
    assert settings.sandbox.home == "somewhere/else"


def test_one_message_tells_all_that_is_wrong_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A person mends a file once, not once an error; what was refused in the reading is not complained of again."""
    text = "foo: 1\ntraining:\n  poll_seconds: off\n  poll_seconds: 2\n  deadline_minutes: x\n"
    lines = wrong(tmp_path, text, "evaluation_gate.recall_floor=2").splitlines()
    assert lines[0] == "5 things are wrong with the parameters:"
    assert [line.strip().split(": ")[0] for line in lines[1:]] == [
        "mine.yaml, line 3",
        "mine.yaml, line 5",
        "mine.yaml, line 6",
        "mine.yaml, line 7",
        "--set evaluation_gate.recall_floor=2",
    ]


def test_a_message_stays_short_and_printable_whatever_was_written(tmp_path: Path) -> None:
    """A value of fifty thousand letters, or one that would paint the terminal, is clipped."""
    message = wrong(tmp_path, f"training: {{poll_seconds: {'x' * 50_000}}}", "model=\x1b[31m\x1b]0;hi")
    assert len(message) < 600
    assert "\x1b" not in message


@pytest.mark.parametrize("asked", ["prodution", "../../etc/passwd", "", "schema.json", "a\0b"])
def test_an_unknown_environment_lists_what_there_is(asked: str) -> None:
    """An environment is a file in ``parameters``, and nothing else."""
    with pytest.raises(UsageError, match=r"there is no environment .* There is: production, sandbox"):
        load(asked, root=ROOT)


def test_a_file_of_another_environment_is_refused() -> None:
    """Asking for production and handing in the sandbox's file is a mistake, whichever of both was meant."""
    with pytest.raises(UsageError, match="environment is sandbox, but production was asked for"):
        load("production", file=ROOT / "parameters" / "sandbox.yaml")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (ROOT / "parameters" / "sandbx.yaml", "there is no such file. Did you mean 'sandbox.yaml'"),
        (ROOT / "nowhere" / "sandbox.yaml", "there is no such file"),
        (ROOT / "parameters", "is a folder; a parameter file is wanted"),
        (Path("/dev/zero"), "is not a regular file"),
        (ROOT / ("x" * 300), "cannot be read: File name too long"),
        (Path("a\0b"), "there is no such file"),
    ],
)
def test_a_path_that_is_no_file_is_refused(path: Path, words: str) -> None:
    """Nothing is read from what is not a regular file."""
    with pytest.raises(UsageError) as refused:
        load(file=path)
    assert words in str(refused.value)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system's reason is told; root may read anything, so the refusal is brought about here."""

    def deny(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        load(file=tmp_path / "mine.yaml")


def test_no_parameter_of_ours_is_taken_for_a_secret() -> None:
    """The names in the settings pass the check that keeps secrets out, whatever their value."""
    assert len(list(dotted_names(Settings))) > len(runbook.SECTIONS)
    for name in dotted_names(Settings):
        assert not strict_yaml.looks_secret(name.rpartition(".")[2], "value"), name


@pytest.mark.parametrize(
    "raw", ["fraud", "1.2.3", "0 2 * * 0", "-", "10,000", "noon", "yesterday", "P1", "1-2", "v010"]
)
def test_an_ordinary_word_is_text(raw: str) -> None:
    """The traps catch what readers disagree about and nothing more."""
    assert strict_yaml.plain(raw) == (raw, None)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("0.80", 0.8),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("true", True),
        ("~", None),
    ],
)
def test_a_plain_figure_is_what_it_says(raw: str, value: object) -> None:
    """Numbers, booleans and null are those of YAML 1.2."""
    found, complaint = strict_yaml.plain(raw)
    assert (found, type(found), complaint) == (value, type(value), None)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    """A file saved by a Windows editor loads."""
    path = tmp_path / "mine.yaml"
    path.write_bytes("\ufeff".encode() + HEAD.replace("\n", "\r\n").encode())
    assert load(file=path).environment == "sandbox"
