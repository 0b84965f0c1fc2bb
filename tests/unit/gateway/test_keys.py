from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gateway import keys
from svckit.errors import Unavailable


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    first, again = keys.load(path), keys.load(path)
    assert first.access.kid == again.access.kid
    assert first.internal.kid == again.internal.kid != first.access.kid
    assert first.pepper == again.pepper
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]


def test_replicas_that_start_together_agree(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as many:
        kids = {ring.access.kid for ring in many.map(lambda _: keys.load(path), range(8))}
    assert len(kids) == 1


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"access": {}, "internal": {}, "pepper": ""}']
)
def test_a_broken_key_file_is_said_to_be_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(Unavailable):
        keys.load(path)
    assert path.read_text() == content


def test_public_sets_hold_nothing_private(tmp_path: Path) -> None:
    ring = keys.load(tmp_path / "keys.json")
    (key,) = ring.public(ring.access)["keys"]
    assert "d" not in key
    assert (key["alg"], key["use"], key["kid"]) == ("ES256", "sig", ring.access.kid)
