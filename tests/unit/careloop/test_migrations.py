from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from svckit import revisions

from careloop.migrations import head
from careloop.services import PARTS, Part, migrations


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_head_read_from_the_files_is_alembics(part: Part):
    folder = migrations(part)
    script = ScriptDirectory(str(folder))
    assert head(folder) == revisions.head(folder.parent) == script.get_current_head()


def test_the_newest_of_several_is_the_one_nobody_follows(tmp_path: Path):
    (tmp_path / "versions").mkdir()
    for name, text in (
        ("a", 'revision: str = "aaa"\ndown_revision: str | None = None\n'),
        ("b", "revision = 'bbb'\ndown_revision = 'aaa'\n"),
    ):
        (tmp_path / "versions" / f"{name}.py").write_text(text)
    assert head(tmp_path) == "bbb"


def test_two_ends_have_no_head(tmp_path: Path):
    (tmp_path / "versions").mkdir()
    for name in ("aaa", "bbb"):
        (tmp_path / "versions" / f"{name}.py").write_text(f'revision = "{name}"\n')
    assert head(tmp_path) is None
