"""close cases of which an event waits.

Revision ID: be170f100c43
Revises: b2f7d3a40002
"""

from svckit.migrate import belt

revision = "be170f100c43"
down_revision = "b2f7d3a40002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # keys of the event log: ids of cases, no person in it
    belt("document_svc_partner", {"blocked_key": "true"})
