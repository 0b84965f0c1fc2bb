import pytest
from gateway.limits import RateLimit
from svckit.errors import TooManyRequests


def test_an_organisation_may_use_its_quota_and_no_more() -> None:
    limit = RateLimit(quota=2, window_s=60)
    assert dict(limit.take("a"))[b"ratelimit"] == b'"organisation";r=1;t=60'
    limit.take("a")
    with pytest.raises(TooManyRequests) as refused:
        limit.take("a")
    assert refused.value.code == "quota-exceeded"
    assert refused.value.extra == {"violated-policies": ["organisation"]}
    assert int(refused.value.headers["Retry-After"]) <= 60


def test_the_quota_of_one_organisation_is_not_anothers() -> None:
    limit = RateLimit(quota=1, window_s=60)
    limit.take("a")
    assert dict(limit.take("b"))[b"ratelimit-policy"] == b'"organisation";q=1;w=60'


def test_the_quota_comes_back_with_the_next_window() -> None:
    limit = RateLimit(quota=1, window_s=0)
    limit.take("a")
    limit.take("a")
