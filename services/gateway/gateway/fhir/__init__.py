"""FHIR R4 Consent in and out: what a person decided, as a tree of provisions and as directives."""

from gateway.fhir.consent import Read, Reference, named_recipients, read
from gateway.fhir.directive import Directive, restored, said, single
from gateway.fhir.export import MEDIA_TYPE, bundle, consent
from gateway.fhir.reading import Inexpressible

__all__ = [
    "MEDIA_TYPE",
    "Directive",
    "Inexpressible",
    "Read",
    "Reference",
    "bundle",
    "consent",
    "named_recipients",
    "read",
    "restored",
    "said",
    "single",
]
