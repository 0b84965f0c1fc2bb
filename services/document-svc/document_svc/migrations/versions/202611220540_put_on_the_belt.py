"""put on the belt: partners' reads pass row level security as well.

Revision ID: be17d0c00001
Revises: 4f019b25ac64
"""

from sharing.belt import REPLICA
from svckit.migrate import READER, belt

revision = "be17d0c00001"
down_revision = "4f019b25ac64"
branch_labels = None
depends_on = None


def _reads(table: str, key: str) -> str:
    return (
        "EXISTS (SELECT FROM document_reader r"
        f" WHERE r.organisation_id = {READER} AND r.document_id = {table}.{key})"
    )


def upgrade() -> None:
    belt(
        "document_svc_partner",
        {
            **REPLICA,
            "document_reader": f"organisation_id = {READER}",
            "document": f"custodian_id = {READER} OR {_reads('document', 'id')}",
            "document_content": _reads("document_content", "document_id"),
            "document_link": _reads("document_link", "document_id"),
            "referral_ref": f"custodian_id = {READER} OR parties ? {READER}",
        },
    )
