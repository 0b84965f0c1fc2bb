from gateway.models import Base
from svckit import migrate, tables

migrate.run_env(Base.metadata, tables.metadata)
