"""Which rows of the replica a partner's role may read: those that decide about its organisation.

For `svckit.migrate.belt`. A change here needs a revision in every service. A row that takes something
away must never be hidden from whom it takes it: a seal that is not seen does not seal, a deny that is
not seen does not deny.
"""

from svckit.migrate import READER

REPLICA = {
    # the network itself, no person in it
    "sharing_organisation": "true",
    # named to it, to all of its kind, or its own
    "sharing_agreement": f"recipient_id IS NULL OR recipient_id = {READER}"
    f" OR custodian_id = {READER}",
    "sharing_grant": f"recipient_id = {READER}",
    # only under a grant about the person does it bear on anything
    "sharing_consent": f"(recipient_id IS NULL OR recipient_id = {READER}) AND EXISTS ("
    "SELECT FROM sharing_grant g WHERE g.person_id = sharing_consent.person_id"
    f" AND g.recipient_id = {READER})",
    # ids of cases, no person in it
    "sharing_seal": "true",
}
