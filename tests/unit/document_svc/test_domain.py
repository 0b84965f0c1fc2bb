"""The rules of documents, without a database."""

import base64
import hashlib

import pytest
from document_svc import domain
from document_svc.domain import DataClass, Declared, Status
from hypothesis import given
from hypothesis import strategies as st
from sharing.classes import NAMES, PART2_NOTICE, mask_of
from sharing.confidentiality import Confidentiality
from sharing.labels import Label
from sharing.policy import current
from svckit.errors import RangeNotSatisfiable

classes = st.sampled_from(DataClass)
labels = st.lists(st.sampled_from(Label), max_size=3)


def test_the_data_classes_are_those_of_the_sharing_policy():
    assert {each.value for each in DataClass} == set(NAMES)


@given(classes, labels)
def test_a_label_asks_for_what_the_sharing_policy_says(data_class, given_labels):
    needed = domain.required_classes(data_class, given_labels)
    assert mask_of(needed) == mask_of([data_class]) | current().required_by(given_labels)


@given(classes, labels)
def test_the_notice_goes_with_substance_use_and_nothing_else(data_class, given_labels):
    about = {Label.SUD, Label.ETH, Label.ETHUD, Label.OPIOIDUD}
    part2 = data_class == DataClass.SUBSTANCE_USE or not about.isdisjoint(given_labels)
    assert (domain.redisclosure_notice(data_class, given_labels) is not None) == part2


def test_the_notice_is_statement_2_word_for_word():
    assert PART2_NOTICE == (
        "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
    )


@given(st.sampled_from(Confidentiality), labels)
def test_a_sensitivity_label_never_lowers_confidentiality(confidentiality, given_labels):
    order = list(Confidentiality)
    raised = domain.high_water(confidentiality, given_labels)
    assert order.index(raised) >= order.index(confidentiality)
    assert not given_labels or raised in (
        Confidentiality.RESTRICTED,
        Confidentiality.VERY_RESTRICTED,
    )


@pytest.mark.parametrize(
    ("status", "content", "more"),
    [
        (Status.PENDING, domain.ContentMissing, None),
        (Status.CURRENT, None, None),
        (Status.SUPERSEDED, domain.Withdrawn, domain.Withdrawn),
        (Status.ENTERED_IN_ERROR, domain.Withdrawn, domain.Withdrawn),
    ],
)
def test_what_may_follow_depends_on_the_status(status, content, more):
    for rule, refusal in ((domain.require_current, content), (domain.require_not_withdrawn, more)):
        if refusal:
            with pytest.raises(refusal):
                rule(status)
        else:
            rule(status)


@given(st.binary(max_size=50))
def test_a_content_digest_is_read_as_rfc_9530_writes_it(content):
    digest = hashlib.sha256(content)
    field = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert domain.parse_content_digest(field) == digest.hexdigest()
    assert domain.parse_content_digest(f"sha-512=:AAAA:, {field}") == digest.hexdigest()


@pytest.mark.parametrize("field", ["", "sha-512=:AAAA:", "md5=:AAAA:"])
def test_a_field_without_sha_256_declares_nothing(field):
    assert domain.parse_content_digest(field) is None


@pytest.mark.parametrize(
    "value",
    ["", ":", "::", ":AAAA:", "AAAA", ":!!!!:", ":\u00e9\u00e9\u00e9\u00e9:", ":" + "A" * 44 + ":"],
)
def test_a_malformed_digest_is_refused(value):
    with pytest.raises(domain.DigestMalformed):
        domain.parse_content_digest(f"sha-256={value}")


ONE, OTHER = "1" * 64, "2" * 64


def test_a_digest_comes_from_the_request_or_the_declaration_and_they_agree():
    settled = {"noted_size": None, "length": 5}
    assert domain.declare(header=ONE, noted=None, **settled) == Declared(ONE, 5)
    assert domain.declare(header=None, noted=ONE, **settled) == Declared(ONE, 5)
    with pytest.raises(domain.DigestMissing):
        domain.declare(header=None, noted=None, **settled)
    with pytest.raises(domain.ContentMismatch):
        domain.declare(header=ONE, noted=OTHER, **settled)
    with pytest.raises(domain.ContentMismatch):
        domain.declare(header=ONE, noted=ONE, noted_size=6, length=5)
    assert domain.declare(header=ONE, noted=ONE, noted_size=6, length=None).size_bytes == 6


@given(st.binary(min_size=1, max_size=50), st.binary(max_size=50))
def test_only_the_declared_bytes_are_accepted(content, sent):
    declared = Declared(hashlib.sha256(content).hexdigest(), len(content))
    received = {"sha256": hashlib.sha256(sent).hexdigest(), "size_bytes": len(sent)}
    if sent == content:
        domain.verify(declared, **received)
    else:
        with pytest.raises(domain.ContentMismatch):
            domain.verify(declared, **received)


@given(st.integers(1, 300), st.integers(0, 400), st.none() | st.integers(0, 400))
def test_a_range_is_what_slicing_gives(size, first, last):
    content = bytes(range(256))[:size].ljust(size, b"x")
    field = f"bytes={first}-{'' if last is None else last}"
    expected = content[first:] if last is None else content[first : last + 1]
    if last is not None and last < first:
        assert domain.parse_range(field, size) is None
    elif not expected:
        with pytest.raises(RangeNotSatisfiable):
            domain.parse_range(field, size)
    else:
        span = domain.parse_range(field, size)
        assert content[span.first : span.last + 1] == expected
        assert span.length == len(expected)


@given(st.text(max_size=40))
def test_no_range_field_breaks_the_reader(field):
    try:
        span = domain.parse_range(field, 10)
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span.first <= span.last < 10


@pytest.mark.parametrize(
    ("value", "good"),
    [("application/pdf", True), ("text/plain", True), ("pdf", False), ("a/b\r\nX: y", False)],
)
def test_a_media_type_has_two_parts(value, good):
    assert domain.is_media_type(value) is good
