"""python -m referral_svc serve | api | relay | consume | migrate | revision | openapi."""

from svckit.cli import main

from referral_svc.app import SERVICE
from referral_svc.settings import Settings

app = main(SERVICE, Settings)

if __name__ == "__main__":
    app()
