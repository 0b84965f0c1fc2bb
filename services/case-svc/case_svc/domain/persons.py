"""Names folded for searching, and what a change behind a confidential address shows to whom."""

import unicodedata
from collections.abc import Mapping

from sharing.classes import DataClass


def fold(name: str | None) -> str:
    """Return the name as it is searched: unaccented, case-folded, single spaces.

    Case, accents and punctuation do not matter.
    """
    decomposed = unicodedata.normalize("NFKD", name or "")
    kept = "".join(
        letter if letter.isalnum() else " "
        for letter in decomposed
        if not unicodedata.combining(letter)
    )
    return " ".join(kept.casefold().split())


def tokens(query: str) -> list[str]:
    """Return the words a search asks for, each once."""
    return list(dict.fromkeys(fold(query).split()))


def concealed(*, was: bool, is_now: bool) -> Mapping[str, DataClass]:
    """Return which classes show that these fields of a record changed, where it is not their own.

    Behind a confidential address only the safety shows a new one; what stands for it, and that it
    became confidential or no longer is, shows in the contact.
    """
    if was != is_now:
        return {"address_confidential": DataClass.CONTACT}
    if not is_now:
        return {}
    behind = dict.fromkeys(("address", "phone", "email"), DataClass.CONTACT | DataClass.SAFETY)
    return {**behind, "substitute_address": DataClass.CONTACT}
