"""What is told of each request: samples of its time, and which requests get a span."""

from gateway.access import Sampler, Seconds

BOUNDS = 14


def samples_of(seconds: Seconds) -> dict[tuple[str, str], float]:
    (family,) = seconds.collect()
    return {
        (sample.name.rpartition("_")[2], sample.labels.get("le", "")): sample.value
        for sample in family.samples
    }


def test_a_time_counts_in_every_bucket_that_holds_it() -> None:
    seconds = Seconds()
    for took_s in (0.0005, 0.001, 0.003, 30.0):
        seconds.observe("GET", "/v1/cases", "case-svc", 200, took_s)
    found = samples_of(seconds)
    assert found["bucket", "0.001"] == 2
    assert found["bucket", "0.0025"] == 2
    assert found["bucket", "0.005"] == 3
    assert found["bucket", "10.0"] == 3
    assert found["bucket", "+Inf"] == found["count", ""] == 4
    assert found["sum", ""] == 30.0045
    assert len([name for name, _ in found if name == "bucket"]) == BOUNDS


def test_answers_that_differ_in_a_label_are_counted_apart() -> None:
    seconds = Seconds()
    seconds.observe("GET", "/v1/cases", "case-svc", 200, 0.1)
    seconds.observe("GET", "/v1/cases", "case-svc", 503, 0.1)
    (family,) = seconds.collect()
    counts = [s for s in family.samples if s.name.endswith("_count")]
    assert {(s.labels["status"], s.value) for s in counts} == {("200", 1.0), ("503", 1.0)}


def test_spans_that_were_not_used_are_kept_for_ten_seconds() -> None:
    sampler = Sampler(1)
    assert sum(sampler() for _ in range(100)) == 10


def test_without_samples_nobody_gets_a_span() -> None:
    assert not Sampler(0)()
