"""know Part 2 programs, consents for a case, and how confidential cases are.

Revision ID: b2f7d3a40003
Revises: be170f1f0001
"""

import sqlalchemy as sa
from alembic import op
from svckit.migrate import belt

revision = "b2f7d3a40003"
down_revision = "be170f1f0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sharing_protection",
        sa.Column("case_id", sa.Text(collation="C"), nullable=False),
        sa.Column("confidentiality", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_sharing_protection")),
    )
    op.add_column("sharing_consent", sa.Column("case_id", sa.Text(collation="C"), nullable=True))
    for table, name in (("sharing_organisation", "part2_program"), ("sharing_consent", "part2")):
        op.add_column(
            table,
            sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
    # ids of cases, no person in it
    belt("notify_svc_partner", {"sharing_protection": "true"})
