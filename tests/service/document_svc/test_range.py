"""One range, conditional requests and HEAD, as RFC 9110 has them."""

import pytest

from .conftest import CONTENT, sha256

SIZE = len(CONTENT)


@pytest.fixture
async def asked(world):
    clinic = world.client(world.clinic)
    document = (await world.shared(clinic))["id"]

    async def ask(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await clinic.get(f"/v1/documents/{document}/content", headers=named)

    ask.head = lambda: clinic.head(f"/v1/documents/{document}/content")
    return ask


ONE = [
    ("bytes=0-0", 0, 0),
    ("bytes=0-9", 0, 9),
    ("bytes=10-", 10, SIZE - 1),
    ("bytes=-7", SIZE - 7, SIZE - 1),
    (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
    (f"bytes={SIZE - 1}-{SIZE + 100}", SIZE - 1, SIZE - 1),
    ("BYTES=1-2", 1, 2),
]


async def test_one_range_is_answered_with_206(asked):
    for field, first, last in ONE:
        answer = await asked(Range=field)
        assert answer.status_code == 206, field
        assert answer.content == CONTENT[first : last + 1], field
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.headers["content-length"] == str(last - first + 1)


async def test_a_range_outside_is_answered_with_416(asked):
    for field in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 9}", "bytes=-0"):
        answer = await asked(Range=field)
        assert answer.status_code == 416, field
        assert answer.headers["content-range"] == f"bytes */{SIZE}"
        assert answer.json()["code"] == "range-not-satisfiable"


async def test_what_is_no_single_range_is_answered_whole(asked):
    for field in ("bytes=5-1", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes 0-1"):
        answer = await asked(Range=field)
        assert (answer.status_code, answer.content) == (200, CONTENT), field


async def test_a_range_of_content_that_has_changed_is_answered_whole(asked):
    same = await asked(Range="bytes=0-3", If_Range=f'"{sha256(CONTENT)}"')
    assert same.status_code == 206
    changed = await asked(Range="bytes=0-3", If_Range=f'"{sha256(b"before")}"')
    assert (changed.status_code, changed.content) == (200, CONTENT)


async def test_known_content_is_not_sent_again(asked):
    tag = f'"{sha256(CONTENT)}"'
    for shape in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await asked(If_None_Match=shape)
        assert (answer.status_code, answer.content) == (304, b""), shape
        assert answer.headers["etag"] == tag
    assert (await asked(If_None_Match='"other"')).status_code == 200


async def test_head_tells_length_and_digest_without_the_bytes(asked):
    answer = await asked.head()
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["etag"] == f'"{sha256(CONTENT)}"'
    assert answer.headers["accept-ranges"] == "bytes"
