"""Routes, one line of work each, in URL order."""

from referral_svc.api import directory, messages, referrals

ROUTERS = [directory.router, referrals.router, messages.router]
