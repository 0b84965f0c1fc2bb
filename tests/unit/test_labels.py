"""Labels mean the same in every service and in the policy."""

from case_svc.domain.cases import high_water
from document_svc.domain import DataClass, required_classes
from sharing import mask_of, policy
from sharing.confidentiality import CODES, Confidentiality
from sharing.labels import LABEL_CLASS, Label


def test_the_labels_of_the_services_are_those_of_the_policy():
    known = {label.value: mask for label, mask in LABEL_CLASS.items()}
    assert known == dict(policy.current().labels)
    assert set(Label) == set(LABEL_CLASS)


def test_a_document_needs_the_classes_of_its_labels_and_its_own():
    for label, mask in LABEL_CLASS.items():
        assert mask_of(required_classes(DataClass.PLAN, [label])) == mask | mask_of(["plan"])


def test_confidentiality_rises_in_the_order_of_the_standard():
    assert CODES == ("U", "L", "M", "N", "R", "V")
    level = Confidentiality
    assert high_water(level.LOW, level.RESTRICTED, level.NORMAL) is level.RESTRICTED
