"""Many cases of one custodian, and partners who see a share of them by grants."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

# how many of the newest cases' persons were opened to the partner: one in so many
PARTNERS = {"0.1 %": 1_000, "2 %": 50, "20 %": 5}

FILL = """
INSERT INTO person SELECT 'per_' || lpad(n::text, 26, '0'), 1, now()
  FROM generate_series(1, {cases}) n;
INSERT INTO case_file (id, number, person_id, type_id, priority, status, cycle, responsible_id,
    worker, confidentiality, sealed, opened_at, entries, version, custodian_id, created_at,
    updated_at, created_by)
  SELECT 'cas_' || lpad(n::text, 26, '0'), n::text, 'per_' || lpad(n::text, 26, '0'),
    'cty_00000000000000000000000001', 'routine',
    (ARRAY['intake', 'active', 'suspended', 'closed'])[1 + n / 7 % 4], 1, '{clinic}',
    'worker-' || n % 40, 'N', false, now(), 0, 1, '{clinic}', now(), now(), 'worker'
  FROM generate_series(1, {cases}) n;
INSERT INTO case_reader SELECT '{clinic}', id FROM case_file;
"""
GRANT = """
INSERT INTO sharing_agreement (id, custodian_id, recipient_id, purposes, classes, consent_classes,
    retention_days, valid_from)
  VALUES ('agr_{partner}', '{clinic}', '{partner}', -1, 4095, 0, 30, now() - interval '1 day');
INSERT INTO sharing_grant (id, custodian_id, recipient_id, person_id, agreement_id, classes,
    purposes, basis, basis_id, valid_from)
  SELECT 'grt_{partner}_' || n, '{clinic}', '{partner}', 'per_' || lpad(n::text, 26, '0'),
    'agr_{partner}', 4095, -1, 'referral', 'ref', now() - interval '1 day'
  FROM generate_series(1, {cases}) n WHERE n % {every} = 0;
INSERT INTO case_reader SELECT '{partner}', 'cas_' || lpad(n::text, 26, '0')
  FROM generate_series(1, {cases}) n WHERE n % {every} = 0;
"""


async def fill(engine: AsyncEngine, cases: int, clinic: str, partners: dict[str, str]) -> None:
    """Load `cases` of the clinic; `partners` holds an organisation for each of PARTNERS."""
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute(FILL.format(cases=cases, clinic=clinic))
        for share, partner in partners.items():
            grant = {"cases": cases, "clinic": clinic, "partner": partner}
            await raw.execute(GRANT.format(**grant, every=PARTNERS[share]))
        await raw.execute("VACUUM ANALYZE")
