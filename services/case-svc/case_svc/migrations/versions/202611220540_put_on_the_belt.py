"""put on the belt: partners' reads pass row level security as well.

Revision ID: be17ca5e0001
Revises: f71b7139d067
"""

from sharing.belt import REPLICA
from svckit.migrate import READER, belt

revision = "be17ca5e0001"
down_revision = "f71b7139d067"
branch_labels = None
depends_on = None

_IN_CASE = (
    *("need", "assessment", "goal", "activity", "task", "note", "decision"),
    *("party", "team_member", "external_number", "case_phase", "timeline_entry"),
    "past_row",
)


def _reads(table: str, key: str, of: str) -> str:
    return (
        f"EXISTS (SELECT FROM {of}_reader r"
        f" WHERE r.organisation_id = {READER} AND r.{of}_id = {table}.{key})"
    )


def upgrade() -> None:
    own = f"organisation_id = {READER}"
    belt(
        "case_svc_partner",
        {
            **REPLICA,
            "case_reader": own,
            "person_reader": own,
            "task_reader": own,
            "case_type": f"organisation_id IS NULL OR {own}",
            "case_file": f"custodian_id = {READER} OR {_reads('case_file', 'id', 'case')}",
            "person": _reads("person", "id", "person"),
            "client_record": f"custodian_id = {READER}"
            f" OR {_reads('client_record', 'person_id', 'person')}",
            **{table: _reads(table, "case_id", "case") for table in _IN_CASE},
        },
    )
