import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gateway import keys
from gateway.__main__ import app
from gateway.tokens import Tokens
from svckit.errors import Unauthenticated, Unavailable
from svckit.identity import Caller
from typer.testing import CliRunner

AT = 1_800_000_000.0
CALLER = Caller("org_a", "clinic", "cli_a", "cli_a", "TREAT", frozenset({"cases.read"}), "t1")


def kid(path: Path, at: float = AT) -> str:
    return str(keys.load(path).access.signing(at).kid)


def published(path: Path, at: float) -> list[str]:
    return [str(key.kid) for key in keys.load(path).access.published(at)]


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    first, again = keys.load(path), keys.load(path)
    assert first.access.signing(AT).kid == again.access.signing(AT).kid
    assert first.internal.signing(AT).kid != first.access.signing(AT).kid
    assert first.pepper == again.pepper
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]


def test_replicas_that_start_together_agree(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as many:
        kids = set(many.map(lambda _: kid(path), range(8)))
    assert len(kids) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"access": {}, "internal": {}, "pepper": ""}',
        '{"access": [], "internal": [], "pepper": ""}',
    ],
)
def test_a_broken_key_file_is_said_to_be_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(Unavailable):
        keys.load(path)
    assert path.read_text() == content


def test_public_sets_hold_nothing_private(tmp_path: Path) -> None:
    ring = keys.load(tmp_path / "keys.json")
    (key,) = ring.access.public(AT)["keys"]
    assert "d" not in key
    assert (key["alg"], key["use"], key["kid"]) == ("ES256", "sig", ring.access.signing(AT).kid)


def test_a_file_of_the_first_version_is_read_and_rotated(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.load(path)
    content = json.loads(path.read_text())
    for name in keys.LINES:
        content[name] = content[name][0]["jwk"]
    path.write_text(json.dumps(content))
    old = kid(path)
    keys.rotate(path, wait_s=10, lives_s=60, at=AT)
    assert published(path, AT)[0] == old


def test_a_new_key_is_published_then_signs_then_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = kid(path)
    fresh = keys.rotate(path, wait_s=600, lives_s=360, at=AT)["access"]
    assert published(path, AT) == [old, fresh]
    assert kid(path, AT + 599) == old
    assert kid(path, AT + 600) == fresh
    assert published(path, AT + 600 + 359) == [old, fresh]
    assert published(path, AT + 600 + 360) == [fresh]
    assert path.stat().st_mode & 0o777 == 0o600


def test_rotations_follow_one_another_and_the_ended_leave_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = [keys.rotate(path, wait_s=10, lives_s=20, at=AT + 100 * n) for n in range(3)]
    assert [kid(path, AT + 100 * n + 10) for n in (2,)] == [made[2]["access"]]
    assert len(json.loads(path.read_text())["access"]) == 2


def test_rotations_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.load(path)
    with ThreadPoolExecutor(8) as many:
        made = list(many.map(lambda _: keys.rotate(path, wait_s=5, lives_s=60, at=AT), range(8)))
    assert {entry["access"] for entry in made} < set(published(path, AT))


def test_a_key_is_not_retired_before_another_signs(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = kid(path)
    with pytest.raises(keys.KeyNotRetired):
        keys.retire(path, old, at=AT)
    fresh = keys.rotate(path, wait_s=10, lives_s=60, at=AT)["access"]
    with pytest.raises(keys.KeyNotRetired):
        keys.retire(path, old, at=AT)
    with pytest.raises(keys.KeyNotRetired):
        keys.retire(path, "unknown", at=AT)
    keys.retire(path, old, at=AT + 10)
    assert published(path, AT + 10) == [fresh]
    assert published(path, AT + 10_000) == [fresh]


def test_an_operator_may_name_a_key_whose_id_begins_with_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    keys.load(path)
    monkeypatch.setenv("GATEWAY_KEY_FILE", str(path))
    answer = CliRunner().invoke(app, ["keys", "retire", "-XX2xBIzSF41qLa"])
    assert "There is no such key." in answer.output


def test_a_token_of_a_retired_key_is_refused_though_it_was_verified(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = kid(path, time.time())
    ring = [keys.load(path)]
    tokens = Tokens(lambda: ring[0], "https://us.test")
    token = tokens.issue(CALLER)
    assert tokens.check(token).caller.token_id == "t1"
    keys.rotate(path, wait_s=0, lives_s=60, at=time.time())
    ring[0] = keys.load(path)
    assert tokens.check(token).caller.token_id == "t1"
    keys.retire(path, old, at=time.time())
    ring[0] = keys.load(path)
    with pytest.raises(Unauthenticated):
        tokens.check(token)


def test_a_changed_file_is_seen_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    monkeypatch.setattr(keys, "_LOOK_EVERY_S", 0.0)
    read = keys.KeyFile(path)
    old = read()
    assert read() is old
    fresh = keys.rotate(path, wait_s=0, lives_s=60, at=AT)["access"]
    assert read().access.signing(AT).kid == fresh
    path.write_text("{")
    assert read().access.signing(AT).kid == fresh
