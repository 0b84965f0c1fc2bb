"""put on the belt: partners' reads pass row level security as well.

Revision ID: be17ef000001
Revises: 6c84c8adb85e
"""

from sharing.belt import REPLICA
from svckit.migrate import READER, belt

revision = "be17ef000001"
down_revision = "6c84c8adb85e"
branch_labels = None
depends_on = None

# published for every partner
_DIRECTORY = (
    *("service", "location", "service_at_location", "schedule", "language"),
    *("service_area", "service_capacity", "classification"),
)


def _reads(table: str, key: str) -> str:
    return (
        "EXISTS (SELECT FROM referral_reader r"
        f" WHERE r.organisation_id = {READER} AND r.referral_id = {table}.{key})"
    )


def upgrade() -> None:
    belt(
        "referral_svc_partner",
        {
            **REPLICA,
            **dict.fromkeys(_DIRECTORY, "true"),
            "referral_reader": f"organisation_id = {READER}",
            "referral": f"custodian_id = {READER} OR {_reads('referral', 'id')}",
            "referral_transition": _reads("referral_transition", "referral_id"),
            "referral_message": _reads("referral_message", "referral_id"),
        },
    )
