"""No secret is written: whatever its spelling it is taken out, JSON stays JSON, and the rest stays as it was."""

import base64
import html
import json
import textwrap
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from retrain import sandbox
from retrain.errors import RetrainError, UsageError
from retrain.redaction import weakness
from retrain.secrets import Finding, Secrets, gather, scan
from retrain.settings import Settings, load
from retrain.settings.outside import Notifications

CANARY = "kEy/9+Zq\"7\\ü%<&'$ tail-4Xw"


def knowing(*values: str) -> Secrets:
    secrets = Secrets()
    for number, value in enumerate(values):
        secrets.register(value, f"S{number}")
    return secrets


def in_base64(shift: int, *, urlsafe: bool = False, padded: bool = True) -> Callable[[str], str]:
    def encode(value: str) -> str:
        encoder = base64.urlsafe_b64encode if urlsafe else base64.b64encode
        encoded = encoder(b"u:"[:shift] + value.encode() + b"z" * shift).decode()
        return encoded if padded else encoded.rstrip("=")

    return encode


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": lambda value: json.dumps(value)[1:-1],
    "json, not ASCII": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json with \\/": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "json for HTML": lambda value: (
        json.dumps(value)[1:-1]
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("'", "\\u0027")
    ),
    "json in json": lambda value: json.dumps(json.dumps(value))[1:-1],
    "json in json in json": lambda value: json.dumps(json.dumps(json.dumps(value)))[1:-1],
    "url": lambda value: quote(value, safe=""),
    "url, lower case": lambda value: "".join(
        quote(one, safe="").lower() if one != quote(one, safe="") else one for one in value
    ),
    "url path": quote,
    "url query": quote_plus,
    "url in url": lambda value: quote(quote(value, safe=""), safe=""),
    "html": html.escape,
    "html, no quotes": lambda value: html.escape(value, quote=False),
    "repr": lambda value: repr(value)[1:-1],
    "repr of bytes": lambda value: repr(value.encode())[2:-1],
    "ascii": lambda value: ascii(value)[1:-1],
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    **{f"base64 at {shift}": in_base64(shift) for shift in range(3)},
    **{f"base64 at {shift}, urlsafe": in_base64(shift, urlsafe=True, padded=False) for shift in range(3)},
}
CONTEXTS: dict[str, Callable[[str], str]] = {
    "alone": str,
    "log": lambda text: f"2013-04-10 14:00:00 INFO token={text}; next\n",
    "url": lambda text: f"https://host/a?token={text}&x=1",
    "traceback": lambda text: f"\x1b[0;31mError\x1b[0m: refused {text!s}\n  at line 3",
    "json": lambda text: json.dumps({"k": [1, "a", text], "n": 1.5}),
    "json, not ASCII": lambda text: json.dumps({"k": f"é {text} é"}, ensure_ascii=False),
    "key": lambda text: json.dumps({f"<{text}>": None}),
    "json lines": lambda text: json.dumps({"a": text}) + "\n" + json.dumps([text]) + "\n",
    "notebook": lambda text: json.dumps({"cells": [{"outputs": [{"text": ["a\n", text]}]}]}, indent=1),
    "json in a string": lambda text: json.dumps({"k": json.dumps({"inner": text})}),
}
TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("\"'\\/%+-_=&<> \n\t{}[]:,;#abcuxnrtZ019é漢😀"),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    min_size=6,
    max_size=24,
)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_gone_in_every_encoding_and_place(encoding: str, context: str) -> None:
    secrets = knowing(CANARY)
    text = CONTEXTS[context](ENCODINGS[encoding](CANARY))
    redacted = secrets.redact(text)
    assert "[redacted:S0]" in redacted
    assert secrets.found_in(text.encode()) == ["S0"]
    assert secrets.found_in(redacted.encode()) == []
    assert "tail" not in redacted, "the last of it too"
    assert "9+Zq" not in redacted, "the middle of it too"
    if context == "json lines":
        assert all(json.loads(line) for line in redacted.splitlines())
    elif "json" in context or context in ("notebook", "key"):
        json.loads(redacted)


@profile(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(TEXTS, st.sampled_from(sorted(ENCODINGS)), st.sampled_from(sorted(CONTEXTS)))
@example('": "a{}', "raw", "json")
@example("nope-secret", "raw", "alone")
@example('x\\"y\\\\\n', "json in json", "json in a string")
def test_any_secret_is_gone_json_stays_json_and_a_second_time_changes_nothing(
    secret: str, encoding: str, context: str
) -> None:
    secret = secret.strip()
    assume(weakness(secret) is None and len(secret) >= 6 and not secret.isdigit())
    assume(secret not in knowing(secret).redact(secret))
    secrets = knowing(secret)
    text = CONTEXTS[context](ENCODINGS[encoding](secret))
    redacted = secrets.redact(text)
    assert redacted != text
    assert secrets.found_in(redacted.encode("utf-8", "surrogateescape")) == []
    assert secrets.redact(redacted) == redacted
    if context in ("json", "json, not ASCII", "key", "notebook", "json in a string"):
        told = json.loads(redacted)
        assert secrets.redact_value(told) == told
    if context == "json lines":
        assert all(json.loads(line) for line in redacted.split("\n") if line)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.just(CANARY) | st.just("plain"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.just(CANARY), inner, max_size=4),
    max_leaves=12,
)


@profile(max_examples=100, deadline=None)
@given(ANYTHING, st.sampled_from([None, 1]), st.booleans())
def test_a_document_is_redacted_as_its_values_are(value: Any, indent: int | None, ascii_only: bool) -> None:
    """Redacting the text and redacting the value give the same, and values without a secret are what they were."""
    secrets = knowing(CANARY)
    text = json.dumps([value], indent=indent, ensure_ascii=ascii_only)
    told = json.loads(secrets.redact(text))
    assert told == secrets.redact_value([value])
    assert CANARY not in json.dumps(told, ensure_ascii=False)
    if json.dumps(CANARY)[1:-1] not in json.dumps(value):
        assert told == [value]
        assert secrets.redact(text) == text


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("nope-secret", '{"path": "C:\\nope-secret"}'),
        ("41abcdefg", '{"a": "\\u0041abcdefg", "b": "x41abcdefg"}'),
        ("e9abcdef", '{"a": "\\u00e9abcdef"}'),
        ("12345678", '{"a": 12345678, "b": -12345678, "c": [12345678]}'),
        ('a":"bcd', '{"a":"bcd"}'),
        ("abcdef\\", '{"a": "abcdef\\"", "b": "abcdef\\\\"}'),
        ('l1\nl2\nl3"', '["l1\\n",\n  "l2\\n",\n "l3\\""]'),
        ("S0S0S0S0", '{"S0S0S0S0": "S0S0S0S0", "S0S0S0S0": 1}'),
    ],
)
def test_json_stays_json_where_a_secret_meets_its_signs(secret: str, text: str) -> None:
    json.loads(text)
    redacted = knowing(secret).redact(text)
    json.loads(redacted)
    assert secret not in redacted
    assert knowing(secret).found_in(redacted.encode()) == []


def test_nothing_else_is_altered() -> None:
    secrets = knowing(CANARY, "hunter2!Q")
    text = '{"a" : 1.10,  "b": "é \\u00e9 \\/", "c": "hunter2!Q" , "d": [ ] }\n'
    assert secrets.redact(text) == text.replace("hunter2!Q", "[redacted:S1]")
    assert secrets.redact("hunter2 !Q") == "hunter2 !Q"
    assert Secrets().redact(CANARY) == CANARY


def test_the_longer_of_two_secrets_goes_first_and_a_known_value_keeps_its_first_name() -> None:
    secrets = knowing("abcdefgh", "abcdefgh-ijkl", "abcdefgh")
    assert secrets.redact("abcdefgh-ijkl abcdefgh") == "[redacted:S1] [redacted:S0]"


def test_a_short_value_is_found_as_a_whole_word_only_and_a_number_not_inside_longer_ones() -> None:
    secrets = knowing("ab1c", "123456")
    assert secrets.redact("xab1c ab1cx ab1c, \\nab1c") == "xab1c ab1cx [redacted:S0], \\n[redacted:S0]"
    assert secrets.redact('{"a": "\\nab1c"}') == '{"a": "\\n[redacted:S0]"}'
    assert secrets.redact("0.123456 1234567 123456") == "0.123456 1234567 [redacted:S1]"
    assert secrets.redact_value([0.123456, 123456, True]) == [0.123456, "[redacted:S1]", True]


@pytest.mark.parametrize("value", ["", "  \n", "abc", " abc ", "true", "None", '"}, {"'])
def test_what_cannot_be_told_from_ordinary_text_is_refused_without_telling_it(value: str) -> None:
    with pytest.raises(ValueError, match="TOKEN") as refused:
        Secrets().register(value, "TOKEN")
    assert not value.strip() or repr(value) not in str(refused.value)


def test_names_of_objects_stay_apart_when_their_secrets_are_gone() -> None:
    secrets = knowing("alphaSecret", "betaSecret")
    value = {"x alphaSecret": 1, "x alphaSecret ": 2, "[redacted:S0]": 3, "betaSecret": (4, "betaSecret")}
    told = secrets.redact_value({**value, "alphaSecret": 5})
    assert sorted(told.values(), key=str) == sorted([1, 2, 3, [4, "[redacted:S1]"], 5], key=str)


def test_lines_of_a_key_are_secrets_of_their_own() -> None:
    body = base64.b64encode(bytes(range(120))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----\n"])
    secrets = knowing(key)
    assert secrets.redact(key.strip()) == "[redacted:S0]"
    assert secrets.redact(f"x {lines[0]} y") == "x [redacted:S0] y"
    assert lines[1] not in secrets.redact(json.dumps(["a\n", *(f"{line}\n" for line in key.split("\n"))]))
    assert secrets.redact("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


LONG = "tOken-7Q3fKx9/zPw2+Vb8nHs4LmRd6Yc1Ju5Ge0Ta_Xi"


@pytest.mark.parametrize("told", ["alone", "notebook", "json in a string", "traceback"])
@pytest.mark.parametrize("encoding", ["raw", "repr", "base64 at 0", "base64 at 1", "base64 at 2"])
def test_a_secret_that_was_broken_over_two_lines_is_gone(encoding: str, told: str) -> None:
    """textwrap, base64.encodebytes and a narrow screen do that; where it is broken does not matter."""
    spelled = ENCODINGS[encoding](LONG)
    for at in range(1, len(spelled)):
        for after in ("\n", "\r\n", " \n    "):
            text = CONTEXTS[told](f"{spelled[:at]}{after}{spelled[at:]}")
            redacted = knowing_long().redact(text)
            assert "[redacted:S0]" in redacted, (at, after)
            assert knowing_long().found_in(redacted.encode()) == []


@cache
def knowing_long() -> Secrets:
    return knowing(LONG)


def test_a_wrapped_text_and_its_lines_in_a_notebook_are_gone() -> None:
    """As people print them: each line of a stream's text is a string of its own in the file."""
    secrets = knowing(LONG)
    wrapped = "\n".join(textwrap.wrap(f"the password is {LONG} as you see", 40))
    assert LONG not in wrapped
    kept = json.dumps({"text": wrapped.splitlines(keepends=True)}, indent=1)
    for text in (
        wrapped,
        textwrap.indent(wrapped, "    "),
        kept,
        base64.encodebytes(b"x" * 40 + LONG.encode()).decode(),
    ):
        assert secrets.found_in(text.encode()) == ["S0"], text
        assert secrets.found_in(secrets.redact(text).encode()) == []
    json.loads(secrets.redact(kept))


def test_what_no_line_break_explains_is_another_text() -> None:
    """Two parts with anything but blanks between them, or of a short value, are not put together."""
    secrets = knowing(LONG, "abcdefg")
    for text in (f"{LONG[:20]}\n> {LONG[20:]}", f"{LONG[:20]} {LONG[20:]}", f"{LONG[:20]}\n\n{LONG[20:]}", "abc\ndefg"):
        assert secrets.redact(text) == text


def test_bytes_that_are_no_text_are_searched_too() -> None:
    assert knowing(CANARY).found_in(b"\x89PNG\xff\xfe" + CANARY.encode() + b"\x00\xff") == ["S0"]
    assert knowing("caf\udce9-secret").found_in(b"caf\xe9-secret") == ["S0"]


def test_twenty_megabytes_take_less_than_a_second() -> None:
    values = [base64.b64encode(f"{number:030}".encode()[::-1]).decode() for number in range(10)]
    secrets = knowing(*values, "p4ss-Word/q", "hunter2hunter2")
    line = json.dumps({"text": "an ordinary line of a notebook's output, with figures 0.8846 and words\n"}) + ",\n"
    picture = base64.b64encode(bytes(range(256)) * 4000).decode()
    text = "[" + line * 180_000 + json.dumps(picture) * 1 + "]"
    text += " " * (20_000_000 - len(text))
    began = time.process_time()
    assert secrets.redact(text) == text
    assert time.process_time() - began < 1


def test_a_long_run_of_backslashes_costs_no_more_than_its_length() -> None:
    secrets = knowing('\\"\\"\\\\"\\abcd')
    began = time.process_time()
    secrets.redact("\\" * 200_000 + "abcd")
    assert time.process_time() - began < 2


@pytest.fixture
def production(tmp_path: Path) -> Settings:
    """Settings outside the sandbox, with a connection of its own."""
    told = load("sandbox").model_copy(update={"model": "flights", "sandbox": None})
    warehouse = told.warehouse.model_copy(update={"connection_name": "prod"})
    service = told.service.model_copy(update={"token_environment_variable": "MY_SERVICE"})
    notifications = Notifications(urls_environment_variable="TELL")
    return told.model_copy(update={"warehouse": warehouse, "service": service, "notifications": notifications})


def test_the_environment_s_secrets_are_gathered_by_name(production: Settings, tmp_path: Path) -> None:
    service_account = json.dumps(
        {"type": "service_account", "private_key": "gcp-private-key", "client_id": "public-id"}
    )
    (tmp_path / "gcp.json").write_text(service_account)
    environment = {
        "SNOWFLAKE_HOME": str(tmp_path),
        "MY_SERVICE": "bearer-token-value",
        "TELL": "slack://AAAATOKEN/BBBBTOKEN/CCCCTOKEN, mailto://me:mail%21word@example.com\njson://h/?key=query-token",
        "SNOWFLAKE_PASSWORD": "snow-password",
        "SNOWFLAKE_PRIVATE_KEY_FILE_PWD": "key-file-word",
        "AWS_SECRET_ACCESS_KEY": "aws-secret-key",
        "AWS_SESSION_TOKEN": "aws-session-token",
        "AZURE_STORAGE_ACCOUNT_KEY": "azure-account-key",
        "AZURE_STORAGE_CONNECTION_STRING": "Protocol=https;AccountKey=azure-string-key==;Suffix=x",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "gcp.json"),
        "HTTPS_PROXY": "http://me:proxy-word@proxy:3128",
        "OTHER_PASSPHRASE": "other-passphrase",
        "SHORT_TOKEN": "abc",
        "PWD": "/an/ordinary/folder",
        "AWS_ACCESS_KEY_ID": "public-key-id",
        "SSH_ASKPASS": "/usr/bin/askpass",
    }
    secrets = gather(production, environment=environment)
    hidden = """
        bearer-token-value AAAATOKEN/BBBBTOKEN/CCCCTOKEN BBBBTOKEN mail!word query-token snow-password key-file-word
        aws-secret-key aws-session-token azure-account-key azure-string-key== gcp-private-key proxy-word
        other-passphrase
    """
    for value in hidden.split():
        assert secrets.found_in(value.encode()), value
    for value in ("public-id", "public-key-id", "/an/ordinary/folder", "/usr/bin/askpass", "abc", "example.com"):
        assert secrets.redact(value) == value
    assert secrets.weak == {"SHORT_TOKEN": "has fewer than 4 characters"}
    assert secrets.redact("a aws-secret-key") == "a [redacted:AWS_SECRET_ACCESS_KEY]"


def test_the_connection_s_secrets_are_read_as_the_connector_reads_them(production: Settings, tmp_path: Path) -> None:
    (tmp_path / "key.p8").write_text("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n")
    (tmp_path / "connections.toml").write_text(
        f'[prod]\nuser = "ordinary-user"\npassword = "toml-password"\nprivate_key_file = "{tmp_path}/key.p8"\n'
        'oauth_client_secret = "oauth-secret"\n[other]\npassword = "other-password"\n'
    )
    (tmp_path / "config.toml").write_text(
        'default_connection_name = "other"\n[connections.prod]\ntoken = "unused-one"\n'
    )
    environment = {"SNOWFLAKE_HOME": str(tmp_path)}
    secrets = gather(production, environment=environment)
    assert secrets.redact("toml-password") == "[redacted:connections.prod.password]"
    assert secrets.redact("oauth-secret MIIEvQIBADANBgkq").count("[redacted:") == 2
    assert secrets.redact("ordinary-user other-password unused-one") == "ordinary-user other-password unused-one"
    unnamed = production.model_copy(
        update={"warehouse": production.warehouse.model_copy(update={"connection_name": None})}
    )
    assert gather(unnamed, environment=environment).found_in(b"other-password") == ["connections.other.password"]
    chosen = {**environment, "SNOWFLAKE_DEFAULT_CONNECTION_NAME": "prod"}
    assert gather(unnamed, environment=chosen).found_in(b"toml-password")
    in_variable = {**environment, "SNOWFLAKE_CONNECTIONS": '[prod]\npassword = "variable-password"'}
    assert gather(production, environment=in_variable).found_in(b"variable-password toml-password") == [
        "connections.prod.password"
    ]


def test_a_missing_connections_file_is_fine_and_a_broken_one_is_named_without_its_content(
    production: Settings, tmp_path: Path
) -> None:
    environment = {"SNOWFLAKE_HOME": str(tmp_path)}
    assert gather(production, environment=environment).weak == {}
    (tmp_path / "connections.toml").write_text("[prod]\npassword = toml-password\n")
    with pytest.raises(UsageError, match=r"connections\.toml is no TOML \(at line 2") as refused:
        gather(production, environment=environment)
    assert "toml-password" not in str(refused.value)


def test_the_sandbox_s_password_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "connect_arguments", lambda settings: {"password": "sandbox-word"})
    assert gather(load("sandbox"), environment={}).found_in(b"sandbox-word") == ["sandbox_warehouse_password"]


def test_a_scan_names_each_file_that_holds_a_secret_in_bytes_name_or_link(tmp_path: Path) -> None:
    secrets = knowing("fileSecret1")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "clean.json").write_text("{}")
    (tmp_path / "a" / "b.bin").write_bytes(b"\xff" + base64.b64encode(b"xfileSecret1"))
    (tmp_path / "c-fileSecret1.txt").write_text("")
    (tmp_path / "d").symlink_to("fileSecret1")
    found = scan(tmp_path, secrets)
    assert found == [
        Finding("a/b.bin", ("S0",)),
        Finding("c-[redacted:S0].txt", ("S0",)),
        Finding("d", ("S0",)),
    ]
    assert str(found[0]) == "a secret was found in a/b.bin: S0"
    assert scan(tmp_path / "a", Secrets()) == []


def test_a_scan_looks_into_an_envelope(tmp_path: Path) -> None:
    """Its base64 hides a value that is escaped inside; what only looks like one is read as it is."""
    body = json.dumps({"url": "https://x/?t=" + quote(CANARY, safe="")}).encode()
    (tmp_path / "1.json").write_text(json.dumps({"payload": base64.b64encode(body).decode(), "signatures": []}))
    for number, other in enumerate(
        ('{"payload": 1}', '["payload"]', '{"a": "payload"}', '{"payload": "é"}', '"payload"{')
    ):
        (tmp_path / f"other-{number}.json").write_text(other)
    assert scan(tmp_path, knowing(CANARY)) == [Finding("1.json", ("S0",))]


def test_a_file_that_cannot_be_read_is_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("")

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(RetrainError, match="cannot be searched"):
        scan(tmp_path, knowing("fileSecret1"))
