"""Names folded for searching: case, accents and punctuation do not matter."""

import unicodedata


def fold(name: str | None) -> str:
    """Return the name as it is searched: unaccented, case-folded, single spaces."""
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
