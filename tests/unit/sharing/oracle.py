"""The semantics page in the plainest Python: sets of names, one class at a time, no masks.

Written from contracts/sharing/semantics.md alone; it shares no code with libs/sharing but the names
of the classes' bits, to speak to it.
"""

CLASSES = {
    *("identity", "contact", "coordination", "needs", "plan", "clinical"),
    *("behavioral", "substance-use", "safety", "notes", "financial", "outcome"),
}
# the Part 2 programs among the organisations, unless others are given
PROGRAMS = {"org_program"}
PARENT = {
    "COC": "TREAT",
    "ETREAT": "TREAT",
    "BTG": "ETREAT",
    "ERTREAT": "ETREAT",
    "CAREMGT": "HOPERAT",
    "COVERAGE": "HPAYMT",
    "ELIGVER": "COVERAGE",
}
KNOWN = {"TREAT", "HPAYMT", "HOPERAT", "HRESCH", *PARENT}
CEILINGS = {
    ("clinic", "TREAT"): CLASSES,
    ("social-service", "COC"): CLASSES - {"clinical", "behavioral", "substance-use"},
    ("payer", "HPAYMT"): {"financial", "outcome"},
    ("payer", "HOPERAT"): {"outcome"},
    ("coordinator", "COC"): {
        *("identity", "contact", "coordination", "needs", "plan", "notes", "outcome")
    },
    ("coordinator", "HOPERAT"): {"coordination", "outcome"},
}


def ancestors(purpose):
    chain = []
    while purpose in KNOWN:
        chain.append(purpose)
        purpose = PARENT.get(purpose)
    return chain


def ceiling(kind, purpose):
    for code in ancestors(purpose):
        if (kind, code) in CEILINGS:
            return CEILINGS[kind, code]
    return set()


def covers(declared, purpose):
    return any(code in declared for code in ancestors(purpose))


def in_period(record, now):
    if now < record["valid_from"]:
        return False
    return record["valid_to"] is None or now < record["valid_to"]


def speaks_of(name, consent, row, programs):
    """Whether a directive says anything of the class: of Part 2 records only some permits do."""
    if name not in consent["classes"]:
        return False
    if consent["decision"] == "deny" or name != "substance-use":
        return True
    return row["custodian_id"] not in programs or consent.get("part2", False)


def word_on(name, consents, reader, row, now, programs):  # noqa: PLR0917
    """The person's newest word on one class: "permit", "deny" or None."""
    heard = []
    for consent in consents:
        if consent["person_id"] != row["person_id"] or not consent["active"]:
            continue
        if consent["recipient_id"] not in (None, reader["organisation_id"]):
            continue
        if not in_period(consent, now) or not covers(consent["purposes"], reader["purpose"]):
            continue
        if RANKS.index(row.get("confidentiality", "N")) > RANKS.index(
            consent.get("confidentiality", "V")
        ):
            continue
        case = consent.get("case_id")
        if case is not None and case != row["case_id"]:
            continue
        if speaks_of(name, consent, row, programs):
            heard.append(consent)
    if not heard:
        return None

    def order(consent):
        return consent["decided_at"], consent.get("depth", 0)

    newest = max(order(consent) for consent in heard)
    last = [consent["decision"] for consent in heard if order(consent) == newest]
    return "deny" if "deny" in last else "permit"


RANKS = "ULMNRV"


def under_emergency(purpose):
    return "ETREAT" in ancestors(purpose)


def lets_out(agreement, row):
    return RANKS.index(row.get("confidentiality", "N")) <= RANKS.index(
        agreement.get("confidentiality", "N")
    )


def sealed(reader, row, seals, now):
    """Closed to the reader: the row's case has a seal in force, put on by somebody else."""
    return any(
        seal["case_id"] == row["case_id"]
        and in_period(seal, now)
        and seal["custodian_id"] != reader["organisation_id"]
        for seal in seals
        if row["case_id"] is not None
    )


def holds(grant, agreements, reader, row, now):  # noqa: PLR0911 - the page, line by line
    if row["person_id"] is None or row["custodian_id"] is None:
        return False
    if grant["recipient_id"] != reader["organisation_id"]:
        return False
    if grant["custodian_id"] != row["custodian_id"] or grant["person_id"] != row["person_id"]:
        return False
    reaches = grant["case_id"] is None or row["about_person"]
    if not reaches and (row["case_id"] is None or grant["case_id"] != row["case_id"]):
        return False
    referral = row.get("referral_id")
    if grant["basis"] == "referral" and referral is not None and grant["basis_id"] != referral:
        return False
    if grant["basis"] == "emergency" and not under_emergency(reader["purpose"]):
        return False
    if not in_period(grant, now) or not covers(grant["purposes"], reader["purpose"]):
        return False
    agreement = agreements.get(grant["agreement_id"])
    if agreement is None or agreement["custodian_id"] != row["custodian_id"]:
        return False
    if agreement["recipient_id"] is None:
        if agreement["recipient_kind"] != reader["kind"]:
            return False
    elif agreement["recipient_id"] != reader["organisation_id"]:
        return False
    if not lets_out(agreement, row):
        return False
    return in_period(agreement, now) and covers(agreement["purposes"], reader["purpose"])


def sees(reader, row, agreements, grants, consents, *, seals=(), now, programs=PROGRAMS):
    """The set of class names the reader sees of the row."""
    if row["custodian_id"] == reader["organisation_id"]:
        return CLASSES
    if sealed(reader, row, seals, now):
        return set()
    if reader["organisation_id"] in row.get("parties", []):
        return CLASSES
    seen = set()
    for grant in grants:
        if not holds(grant, agreements, reader, row, now):
            continue
        agreement = agreements[grant["agreement_id"]]
        for name in CLASSES:
            if name not in grant["classes"] or name not in agreement["classes"]:
                continue
            if name not in ceiling(reader["kind"], reader["purpose"]):
                continue
            if grant["basis"] == "emergency":
                seen.add(name)
                continue
            word = word_on(name, consents, reader, row, now, programs)
            if word == "deny":
                continue
            needs_permit = name in agreement["consent_classes"] or name == "substance-use"
            if needs_permit and word != "permit":
                continue
            seen.add(name)
    return seen
