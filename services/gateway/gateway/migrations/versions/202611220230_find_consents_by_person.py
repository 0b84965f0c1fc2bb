"""find consents by person.

Revision ID: 3b0c7e51f2aa
Revises: d7c2f18b3e05
"""

from alembic import op

revision = "3b0c7e51f2aa"
down_revision = "d7c2f18b3e05"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_consent_person_id"), "consent", ["person_id"], unique=False)
