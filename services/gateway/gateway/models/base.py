"""What the gateway's tables have in common."""

from typing import ClassVar

from sqlalchemy import MetaData
from svckit import db


class Base(db.Base):
    __abstract__ = True
    metadata: ClassVar[MetaData] = MetaData(naming_convention=db.NAMING)
