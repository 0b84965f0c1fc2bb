"""close cases of which an event waits.

Revision ID: be170f100c42
Revises: b2f7d3a40004
"""

from svckit.migrate import belt

revision = "be170f100c42"
down_revision = "b2f7d3a40004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # keys of the event log: ids of cases, no person in it
    belt("referral_svc_partner", {"blocked_key": "true"})
