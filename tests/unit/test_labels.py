"""Labels mean the same in every service and in the policy."""

import case_svc.domain.cases
import document_svc.domain
from case_svc.domain.cases import high_water
from case_svc.domain.classes import LABEL_CLASS
from sharing import mask_of, policy
from sharing.confidentiality import CODES


def test_the_labels_of_the_case_file_are_those_of_the_policy():
    assert {label.value: mask for label, mask in LABEL_CLASS.items()} == dict(
        policy.current().labels
    )


def test_the_labels_of_documents_are_those_of_the_policy():
    known = policy.current().labels
    assert {label.value for label in document_svc.domain.Label} == set(known)
    for label in document_svc.domain.Label:
        needed = document_svc.domain.required_classes(document_svc.domain.DataClass.PLAN, [label])
        assert mask_of(needed) == known[label.value] | mask_of(["plan"])


def test_confidentiality_rises_in_the_order_of_the_standard():
    for domain in (case_svc.domain.cases, document_svc.domain):
        assert tuple(each.value for each in domain.Confidentiality) == CODES
    level = case_svc.domain.cases.Confidentiality
    assert high_water(level.LOW, level.RESTRICTED, level.NORMAL) is level.RESTRICTED
