"""python -m case_svc serve | api | relay | consume | migrate | revision | openapi."""

from svckit.cli import main

from case_svc.app import SERVICE
from case_svc.settings import Settings

app = main(SERVICE, Settings)

if __name__ == "__main__":
    app()
