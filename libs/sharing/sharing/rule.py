"""The rule itself, once: what SQL, the evaluator, the event filter and the explanation all read.

contracts/sharing/semantics.md says the same in words.
"""

from functools import cache

from sharing import policy
from sharing.algebra import (
    AllOf,
    Always,
    AnyOf,
    Ceiling,
    Classes,
    Clause,
    Covers,
    Directed,
    Either,
    Equal,
    Except,
    Factor,
    Holds,
    InForce,
    Missing,
    Ref,
    Rule,
)

ORGANISATION = Ref("reader", "organisation_id")
KIND = Ref("reader", "kind")


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
    Clause("directive is in force", _period("consent")),
)


@cache
def current() -> Rule:
    """Return the rule under the policy this build carries."""
    by_consent = Either(
        (
            Classes(Ref("agreement", "consent_classes")),
            Always(policy.current().always_by_consent),
        )
    )
    return Rule(
        clauses=_GRANT + _AGREEMENT,
        directives=_DIRECTIVES,
        factors=(
            Factor("grant opens", Classes(Ref("grant", "classes"))),
            Factor("agreement allows", Classes(Ref("agreement", "classes"))),
            Factor("policy allows the kind and purpose", Ceiling()),
            Factor("person does not deny", Except(Directed("deny"))),
            Factor(
                "person permits what needs consent",
                Either((Directed("permit"), Except(by_consent))),
            ),
        ),
    )
