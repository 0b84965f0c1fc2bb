from notify_svc.models.inbox import Base
from sharing import replica
from svckit import migrate, tables

migrate.run_env(Base.metadata, tables.metadata, replica.metadata)
