import pytest
from gateway.limits import RateLimit
from svckit.errors import TooManyRequests


def test_an_organisation_may_use_its_quota_and_no_more() -> None:
    limit = RateLimit("organisation", quota=2, window_s=60)
    assert limit.take("a") == '"organisation";r=1;t=60'
    limit.take("a")
    with pytest.raises(TooManyRequests) as refused:
        limit.take("a")
    assert refused.value.code == "quota-exceeded"
    assert refused.value.extra == {"violated-policies": ["organisation"]}
    assert int(refused.value.headers["Retry-After"]) <= 60


def test_the_quota_of_one_organisation_is_not_anothers() -> None:
    limit = RateLimit("organisation", quota=1, window_s=60)
    assert limit.policy == '"organisation";q=1;w=60'
    limit.take("a")
    assert limit.take("b") == '"organisation";r=0;t=60'


def test_the_quota_comes_back_with_the_next_window() -> None:
    limit = RateLimit("organisation", quota=1, window_s=0)
    limit.take("a")
    limit.take("a")
