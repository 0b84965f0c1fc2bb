"""The rule itself, once: what SQL, the evaluator, the event filter and the explanation all read.

contracts/sharing/semantics.md says the same in words.
"""

from functools import lru_cache

from sharing import policy
from sharing.algebra import (
    AllOf,
    Always,
    AnyOf,
    AtMost,
    Ceiling,
    Classes,
    Clause,
    Covers,
    Differ,
    Directed,
    Either,
    Equal,
    Except,
    Factor,
    Holds,
    InForce,
    Missing,
    OneOf,
    Ref,
    Rule,
    Sealed,
    Under,
    When,
)
from sharing.classes import PART2

ORGANISATION = Ref("reader", "organisation_id")
KIND = Ref("reader", "kind")
BASIS = Ref("grant", "basis")
_EMERGENCY = OneOf(BASIS, ("emergency",))
_PLANNED = ("consent", "referral", "care-team", "treatment", "legal")
_STANDING = ("consent", "care-team", "treatment", "emergency", "legal")


def _period(side: str) -> InForce:
    at = Ref(side, "valid_from"), Ref(side, "valid_to")  # type: ignore[arg-type]
    return InForce(*at)


_GRANT = (
    Clause("grant names the reader", Equal(Ref("grant", "recipient_id"), ORGANISATION)),
    Clause(
        "grant is the custodian's", Equal(Ref("grant", "custodian_id"), Ref("row", "custodian_id"))
    ),
    Clause("grant is about the person", Equal(Ref("grant", "person_id"), Ref("row", "person_id"))),
    Clause(
        "grant reaches the case",
        AnyOf(
            (
                Missing(Ref("grant", "case_id")),
                Equal(Ref("grant", "case_id"), Ref("row", "case_id")),
                Holds(Ref("row", "about_person")),
            )
        ),
    ),
    Clause(
        "grant reaches the referral",
        AnyOf(
            (
                Missing(Ref("row", "referral_id")),
                OneOf(BASIS, _STANDING),
                Equal(Ref("grant", "basis_id"), Ref("row", "referral_id")),
            )
        ),
    ),
    Clause(
        "emergency access is for an emergency",
        AnyOf((OneOf(BASIS, _PLANNED), Under("ETREAT"))),
    ),
    Clause("grant covers the purpose", Covers(Ref("grant", "purposes"))),
    Clause("grant is in force", _period("grant")),
)

_AGREEMENT = (
    Clause(
        "grant stands under the agreement",
        Equal(Ref("agreement", "id"), Ref("grant", "agreement_id")),
    ),
    Clause(
        "agreement is the custodian's",
        Equal(Ref("agreement", "custodian_id"), Ref("grant", "custodian_id")),
    ),
    Clause(
        "agreement includes the reader",
        AnyOf(
            (
                Equal(Ref("agreement", "recipient_id"), ORGANISATION),
                AllOf(
                    (
                        Missing(Ref("agreement", "recipient_id")),
                        Equal(Ref("agreement", "recipient_kind"), KIND),
                    )
                ),
            )
        ),
    ),
    Clause("agreement covers the purpose", Covers(Ref("agreement", "purposes"))),
    Clause(
        "agreement lets the confidentiality out",
        AtMost(Ref("row", "confidentiality"), Ref("agreement", "confidentiality")),
    ),
    Clause("agreement is in force", _period("agreement")),
)

_DIRECTIVES = (
    Clause(
        "directive is the person's", Equal(Ref("consent", "person_id"), Ref("row", "person_id"))
    ),
    Clause("directive is active", Holds(Ref("consent", "active"))),
    Clause(
        "directive is about the reader",
        AnyOf(
            (
                Missing(Ref("consent", "recipient_id")),
                Equal(Ref("consent", "recipient_id"), ORGANISATION),
            )
        ),
    ),
    Clause("directive covers the purpose", Covers(Ref("consent", "purposes"))),
    Clause(
        "directive reaches the confidentiality",
        AtMost(Ref("row", "confidentiality"), Ref("consent", "confidentiality")),
    ),
    Clause(
        "directive is about the case",
        AnyOf(
            (
                Missing(Ref("consent", "case_id")),
                Equal(Ref("consent", "case_id"), Ref("row", "case_id")),
            )
        ),
    ),
    Clause("directive is in force", _period("consent")),
)

# records of a Part 2 program are permitted by a consent in the name of that law, and by no other
_SAYS = (
    Factor(
        "permit of Part 2 records is one under 42 CFR Part 2",
        Either(
            (
                Except(Always(PART2)),
                When(
                    AnyOf(
                        (
                            OneOf(Ref("consent", "decision"), ("deny",)),
                            Holds(Ref("consent", "part2")),
                            Missing(Ref("row", "program")),
                        )
                    )
                ),
            )
        ),
    ),
)

_SEALS = (
    Clause("seal is on the case", Equal(Ref("seal", "case_id"), Ref("row", "case_id"))),
    Clause("seal is another's", Differ(Ref("seal", "custodian_id"), ORGANISATION)),
    Clause("seal is in force", _period("seal")),
)


def current() -> Rule:
    """Return the rule under the policy in force. Raises PolicyUnreadable."""
    return under(policy.current())


@lru_cache(maxsize=16)
def under(written: policy.Policy) -> Rule:
    """Return the rule under a policy: its ceilings, what it gives by consent only, its limits."""
    by_consent = Either(
        (Classes(Ref("agreement", "consent_classes")), Always(written.always_by_consent))
    )
    limits = tuple(
        Factor(one.name, Either((Except(Always(one.classes)), When(one.condition))))
        for one in written.limits
    )
    # an emergency goes without the person's word, and nothing else
    widened = When(AllOf((Under("ETREAT"), _EMERGENCY)))
    return Rule(
        clauses=_GRANT + _AGREEMENT,
        directives=_DIRECTIVES,
        factors=(
            Factor("grant opens", Classes(Ref("grant", "classes"))),
            Factor("agreement allows", Classes(Ref("agreement", "classes"))),
            Factor("policy allows the kind and purpose", Ceiling(written)),
            Factor("person does not deny", Either((Except(Directed("deny")), widened))),
            Factor(
                "person permits what needs consent",
                Either((Directed("permit"), Except(by_consent), widened)),
            ),
            *limits,
        ),
        says=_SAYS,
        seals=_SEALS,
        barriers=(Factor("case is not sealed", Except(Sealed())),),
        version=written.digest(),
    )
