"""`python -m document_svc serve | api | relay | consume | worker | migrate | openapi`."""

from svckit.cli import main

from document_svc.app import SERVICE
from document_svc.settings import Settings

app = main(SERVICE, Settings)

if __name__ == "__main__":
    app()
