"""put on the belt: partners' reads pass row level security as well.

Revision ID: be170f1f0001
Revises: 635240a6a3e4
"""

from sharing.belt import REPLICA
from svckit.migrate import READER, belt

revision = "be170f1f0001"
down_revision = "635240a6a3e4"
branch_labels = None
depends_on = None


def _told(table: str) -> str:
    return (
        f"EXISTS (SELECT FROM {table} t"
        f" WHERE t.message_id = message.id AND t.organisation_id = {READER})"
    )


def upgrade() -> None:
    own = f"organisation_id = {READER}"
    belt(
        "notify_svc_partner",
        {
            **REPLICA,
            **dict.fromkeys(("feed_head", "feed_item", "webhook_endpoint", "delivery"), own),
            "message": f"custodian_id = {READER} OR {_told('feed_item')} OR {_told('delivery')}",
            "delivery_attempt": "EXISTS (SELECT FROM delivery d"
            f" WHERE d.id = delivery_attempt.delivery_id AND d.organisation_id = {READER})",
        },
    )
