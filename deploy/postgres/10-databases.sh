#!/bin/bash
# One database and one role per service, run by the image at its first start. A role reaches its own
# database and no other.
set -euo pipefail

for service in gateway case_svc referral_svc document_svc notify_svc; do
  variable="${service^^}_PASSWORD"
  psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --set "role=${service}" --set "password=${!variable:?}" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role" TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
done
