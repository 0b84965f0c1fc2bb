"""`careloop webhooks`: receive deliveries on this machine while a partner's program is written."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.text import Text
from svckit.clock import now

from careloop.asking import DEFAULT_DATA_DIR, DataDir, answered, asking, console, failures
from careloop.partner import Partner

if TYPE_CHECKING:
    from careloop.listening import Arrival, Listener

app = typer.Typer(no_args_is_help=True, help="Receive webhooks on this machine.")

notices = Console(stderr=True, highlight=False)
_ENDPOINTS = "/v1/webhook-endpoints"
_DESCRIPTION = "careloop webhooks listen"
_HOST = "127.0.0.1"
Show = Callable[["Arrival"], None]


@app.callback()
def webhooks() -> None:
    """Keep `listen` a command of its own."""


AsPartner = Annotated[
    str | None, typer.Option("--as", help="Whose webhooks: registers an endpoint by itself.")
]
Secrets = Annotated[
    list[str] | None,
    typer.Option("--secret", help="Of an endpoint you registered: whsec_… or whpk_…"),
]
Port = Annotated[int, typer.Option(help="Where to listen; 0: any free port.")]
PublicUrl = Annotated[
    str | None, typer.Option("--url", help="Where the platform reaches you, if not locally.")
]
Kinds = Annotated[
    list[str] | None, typer.Option("--type", help="Only these: referral.*, case.opened …")
]
Signature = Annotated[str, typer.Option(help="v1 (shared secret) or v1a (public key).")]
Misbehave = Annotated[
    str | None,
    typer.Option(help="A status, 429:5, slow:10, hang, reset, drip, late, endless."),
]
Every = Annotated[int, typer.Option(min=1, help="Misbehave on every N-th delivery only.")]
Lines = Annotated[bool, typer.Option("--json", help="Print each request as a line of JSON.")]


@app.command("listen")
def listen_command(
    *,
    by: AsPartner = None,
    secret: Secrets = None,
    port: Port = 9000,
    url: PublicUrl = None,
    kind: Kinds = None,
    signature: Signature = "v1",
    fault: Misbehave = None,
    every: Every = 1,
    as_json: Lines = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Verify and print deliveries until Ctrl-C; the endpoint it registered is removed again."""
    if bool(by) == bool(secret):
        raise typer.BadParameter("give either --as (a partner of the sandbox) or --secret")
    from careloop.listening import Listener  # noqa: PLC0415 - aiohttp is slow to import
    from careloop.misbehaving import Fault  # noqa: PLC0415 - aiohttp is slow to import

    with failures():
        played = Fault.parse(fault) if fault else None
        listener = Listener(_as_line if as_json else _show, played, every)
        if secret:
            listener.trust(*secret)
            asyncio.run(_listen(listener, port, contextlib.nullcontext()))
            return
        wanted = {
            "event_types": kind or [],
            "signature": signature,
            "description": _DESCRIPTION,
            "url": url or f"http://{_HOST}:{{port}}/careloop",
        }
        with asking(data_dir, by or "") as partner:
            asyncio.run(_listen(listener, port, _registered(partner, listener, wanted)))


async def _listen(
    listener: "Listener", port: int, registered: contextlib.AbstractAsyncContextManager[Any]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    async with listener.serving(_HOST, port), registered:
        _notice(f"listening on http://{_HOST}:{listener.port}; Ctrl-C ends it")
        await stop.wait()
        for number in signals:  # a second Ctrl-C does not wait for the endpoint's removal
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _registered(
    partner: Partner, listener: "Listener", body: dict[str, Any]
) -> AsyncIterator[None]:
    """Register an endpoint for the listener's port, and remove it in the end."""
    body = body | {"url": body["url"].format(port=listener.port)}
    made = await asyncio.to_thread(_register, partner, body)
    try:
        listener.trust(made["secret"])
        _notice(f"{partner.name}: endpoint {made['id']} to {made['url']}")
        yield
    finally:
        await asyncio.to_thread(_remove, partner, made["id"])
        _notice(f"endpoint {made['id']} removed")


def _register(partner: Partner, body: dict[str, Any]) -> Any:
    """Register; what a killed listener left at the same address goes first. Raises Refused."""
    for old in list(partner.items(_ENDPOINTS)):
        if (old["url"], old["description"]) == (body["url"], _DESCRIPTION):
            _remove(partner, old["id"])
    return answered(partner.post(_ENDPOINTS, body))


def _remove(partner: Partner, endpoint_id: str) -> None:
    """Remove the endpoint in whatever version it is by now. Raises Refused."""
    path = f"{_ENDPOINTS}/{endpoint_id}"
    while True:
        found = partner.get(path)
        if found.status == httpx.codes.NOT_FOUND:
            return
        answered(found)
        done = partner.delete(path, version=found.version)
        if done.status != httpx.codes.PRECONDITION_FAILED:
            answered(done)
            return


def _notice(text: str) -> None:
    notices.print(Text(text, "dim"), soft_wrap=True)


def _show(arrival: "Arrival") -> None:
    """Print one line; what is shown of a message was signed, the rest is our own words."""
    line = Text(f"{now():%H:%M:%S} ")
    if arrival.message is None:
        line.append("refused ", "bold red").append(f"{arrival.refused} → {arrival.status}")
    else:
        data = arrival.message.get("data", {})
        line.append(str(arrival.message["type"]).removeprefix("org.careloop."), "bold")
        line.append(f" {data.get('href', '')}")
        line.append(f" case {data['case_id']}" if data.get("case_id") else "", "dim")
        line.append(f" {arrival.message_id}", "dim")
        line.append(f" again ({arrival.times})" if arrival.times > 1 else "", "yellow")
        line.append(
            f" → plays {arrival.played}" if arrival.played else f" → {arrival.status}",
            "red" if arrival.played else "green",
        )
    console.print(line, soft_wrap=True)


def _as_line(arrival: "Arrival") -> None:
    found = {
        "id": arrival.message_id,
        "times": arrival.times,
        "status": arrival.status,
        "refused": arrival.refused,
        "fault": arrival.played,
        "message": arrival.message,
    }
    print(json.dumps(found), flush=True)
