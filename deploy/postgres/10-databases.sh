#!/bin/bash
# One database and one role per service, run by the image at its first start. A role reaches its own
# database and no other. Beside it the role that partners' reads run as, which nobody logs in as.
# Repeatable: run it again where a newer version needs a role more.
set -euo pipefail

for service in gateway case_svc referral_svc document_svc notify_svc; do
  variable="${service^^}_PASSWORD"
  psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --set "role=${service}" --set "password=${!variable:?}" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SELECT format('CREATE DATABASE %1$I OWNER %1$I TEMPLATE template0 ENCODING ''UTF8''', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SELECT format('CREATE ROLE %I NOLOGIN', :'role' || '_partner')
  WHERE :'role' <> 'gateway'
    AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role' || '_partner') \gexec
SELECT format('GRANT %I TO %I', rolname, :'role')
  FROM pg_roles WHERE rolname = :'role' || '_partner' \gexec
SQL
done
