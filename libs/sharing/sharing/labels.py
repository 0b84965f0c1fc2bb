"""Sensitivity labels, and the data classes that they add to what a row needs."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from sharing.classes import DataClass


class Label(StrEnum):
    """Sensitivity (HL7 v3-ActCode)."""

    SUD = "SUD"
    ETH = "ETH"
    ETHUD = "ETHUD"
    OPIOIDUD = "OPIOIDUD"
    MH = "MH"
    BH = "BH"
    PSY = "PSY"
    PSYTHPN = "PSYTHPN"
    EMOTDIS = "EMOTDIS"
    SDV = "SDV"
    VIO = "VIO"
    MST = "MST"
    HIV = "HIV"
    STD = "STD"
    SEX = "SEX"
    GDIS = "GDIS"
    SCA = "SCA"
    COGN = "COGN"
    DVD = "DVD"


_SUBSTANCE = (Label.SUD, Label.ETH, Label.ETHUD, Label.OPIOIDUD)
_BEHAVIORAL = (Label.MH, Label.BH, Label.PSY, Label.EMOTDIS)
_SAFETY = (Label.SDV, Label.VIO, Label.MST)
_CLINICAL = (Label.HIV, Label.STD, Label.SEX, Label.GDIS, Label.SCA, Label.COGN, Label.DVD)
LABEL_CLASS: Mapping[Label, DataClass] = MappingProxyType(
    {
        **dict.fromkeys(_SUBSTANCE, DataClass.SUBSTANCE_USE),
        **dict.fromkeys(_BEHAVIORAL, DataClass.BEHAVIORAL),
        Label.PSYTHPN: DataClass.BEHAVIORAL | DataClass.CLINICAL,
        **dict.fromkeys(_SAFETY, DataClass.SAFETY),
        **dict.fromkeys(_CLINICAL, DataClass.CLINICAL),
    }
)


def of_labels(labels: Iterable[Label]) -> DataClass:
    """Return the classes the labels add."""
    needed = DataClass(0)
    for label in labels:
        needed |= LABEL_CLASS[label]
    return needed
