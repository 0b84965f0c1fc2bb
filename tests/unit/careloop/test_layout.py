import json
from pathlib import Path

import pytest

from careloop.errors import AlreadyRunning
from careloop.layout import Layout, write_json


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "data")
    found.create()
    return found


def test_a_secret_is_made_once_and_for_its_owner_alone(layout: Layout):
    first = layout.secret("cursor-case-svc")
    assert layout.secret("cursor-case-svc") == first
    assert layout.secret("cursor-gateway") != first
    assert (layout.secrets / "cursor-case-svc").stat().st_mode & 0o777 == 0o600
    assert layout.secrets.stat().st_mode & 0o777 == 0o700


def test_only_one_holds_a_data_directory(layout: Layout):
    with layout.lock():
        assert layout.is_held()
        with pytest.raises(AlreadyRunning):
            layout.lock()
    assert not layout.is_held()


def test_a_torn_run_file_is_none(layout: Layout):
    layout.run_file.write_text('{"supervisor": 1')
    assert layout.running() is None


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path):
    path = tmp_path / "sandbox.json"
    path.write_text("old")
    write_json(path, {"new": True}, 0o600)
    assert json.loads(path.read_text()) == {"new": True}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["sandbox.json"]
