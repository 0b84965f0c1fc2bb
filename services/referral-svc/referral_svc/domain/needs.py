"""Need categories (Gravity SDOHCC-ValueSetSDOHCategory) and how directory terms map to them."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum


class NeedCategory(StrEnum):
    UNSPECIFIED = "sdoh-category-unspecified"
    FOOD = "food-insecurity"
    HOUSING_INSTABILITY = "housing-instability"
    HOMELESSNESS = "homelessness"
    INADEQUATE_HOUSING = "inadequate-housing"
    TRANSPORTATION = "transportation-insecurity"
    FINANCIAL = "financial-insecurity"
    MATERIAL_HARDSHIP = "material-hardship"
    EDUCATION = "educational-attainment"
    EMPLOYMENT = "employment-status"
    VETERAN = "veteran-status"
    STRESS = "stress"
    SOCIAL_CONNECTION = "social-connection"
    PARTNER_VIOLENCE = "intimate-partner-violence"
    ELDER_ABUSE = "elder-abuse"
    HEALTH_LITERACY = "personal-health-literacy"
    HEALTH_INSURANCE = "health-insurance-coverage-status"
    MEDICAL_COST = "medical-cost-burden"
    DIGITAL_LITERACY = "digital-literacy"
    DIGITAL_ACCESS = "digital-access"
    UTILITIES = "utility-insecurity"
    INCARCERATION = "incarceration-status"
    LANGUAGE_ACCESS = "language-access"
    PROTECTIVE_FACTOR = "protective-factor"


class CapacityStatus(StrEnum):
    """Gravity SDOHCC-ValueSetCapacityStatus: declared by the service, promises no eligibility."""

    CAPACITY = "capacity"
    NO_CAPACITY = "no-capacity"
    WAITLIST = "waitlist"
    ADDITIONAL_ASSESSMENT_REQUIRED = "additional-assessment-required"


# a referral for one of these tells of danger at home: `safety` is needed to learn of it at all
SAFETY = frozenset({NeedCategory.PARTNER_VIOLENCE, NeedCategory.ELDER_ABUSE})

# words of taxonomy term names in common directories (Open Eligibility, 211 LA County headings)
_WORDS: Mapping[str, NeedCategory] = {
    "food": NeedCategory.FOOD,
    "meal": NeedCategory.FOOD,
    "nutrition": NeedCategory.FOOD,
    "shelter": NeedCategory.HOMELESSNESS,
    "homeless": NeedCategory.HOMELESSNESS,
    "housing": NeedCategory.HOUSING_INSTABILITY,
    "rent": NeedCategory.HOUSING_INSTABILITY,
    "eviction": NeedCategory.HOUSING_INSTABILITY,
    "home repair": NeedCategory.INADEQUATE_HOUSING,
    "transit": NeedCategory.TRANSPORTATION,
    "transportation": NeedCategory.TRANSPORTATION,
    "financial": NeedCategory.FINANCIAL,
    "cash assistance": NeedCategory.FINANCIAL,
    "goods": NeedCategory.MATERIAL_HARDSHIP,
    "clothing": NeedCategory.MATERIAL_HARDSHIP,
    "education": NeedCategory.EDUCATION,
    "employment": NeedCategory.EMPLOYMENT,
    "job": NeedCategory.EMPLOYMENT,
    "veteran": NeedCategory.VETERAN,
    "counseling": NeedCategory.STRESS,
    "counselling": NeedCategory.STRESS,
    "support group": NeedCategory.SOCIAL_CONNECTION,
    "domestic violence": NeedCategory.PARTNER_VIOLENCE,
    "elder abuse": NeedCategory.ELDER_ABUSE,
    "health education": NeedCategory.HEALTH_LITERACY,
    "health insurance": NeedCategory.HEALTH_INSURANCE,
    "medical cost": NeedCategory.MEDICAL_COST,
    "computer class": NeedCategory.DIGITAL_LITERACY,
    "internet": NeedCategory.DIGITAL_ACCESS,
    "utilit": NeedCategory.UTILITIES,
    "heating": NeedCategory.UTILITIES,
    "re-entry": NeedCategory.INCARCERATION,
    "translation": NeedCategory.LANGUAGE_ACCESS,
    "interpretation": NeedCategory.LANGUAGE_ACCESS,
}
# a word's beginning, so that "rent" finds "rental" and leaves "parent" alone
_PATTERNS = [(re.compile(rf"\b{re.escape(word)}"), need.value) for word, need in _WORDS.items()]
_CODES = frozenset(member.value for member in NeedCategory)


def is_need_category(value: str) -> bool:
    return value in _CODES


def categories_of(terms: Iterable[tuple[str | None, str | None]]) -> list[str]:
    """Map taxonomy terms (code, name) to need categories, sorted; unknown terms map to none."""
    found: set[str] = set()
    for code, name in terms:
        if code and code in _CODES:
            found.add(code)
            continue
        words = (name or "").lower()
        found.update(need for pattern, need in _PATTERNS if pattern.search(words))
    return sorted(found)
