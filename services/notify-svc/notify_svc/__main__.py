"""`python -m notify_svc serve | api | consume | deliver | migrate | openapi`."""

from svckit.cli import main

from notify_svc.app import SERVICE
from notify_svc.settings import Settings

app = main(SERVICE, Settings)
worker = next(command for command in app.registered_commands if command.name == "worker")
assert worker.callback is not None
app.command("deliver", help="Send webhooks until SIGTERM.")(worker.callback)

if __name__ == "__main__":
    app()
