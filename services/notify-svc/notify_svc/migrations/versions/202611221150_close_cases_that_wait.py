"""close cases of which an event waits.

Revision ID: be170f100c41
Revises: 2bd5949d72b0
"""

from svckit.migrate import belt

revision = "be170f100c41"
down_revision = "2bd5949d72b0"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # keys of the event log: ids of cases, no person in it
    belt("notify_svc_partner", {"blocked_key": "true"})
