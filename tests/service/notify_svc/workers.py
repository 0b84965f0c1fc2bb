"""Workers, tasks and referrals as the other services announce them, and a mail server that is there."""

import asyncio
import contextlib
import ssl
from datetime import timedelta
from email import message_from_bytes, policy
from types import SimpleNamespace

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from notify_svc.remind.loop import Loop
from svckit.clock import now, wire
from svckit.identity import worker_key
from svckit.ids import new_id

from careloop.ports import free_port
from tests.service.notify_svc.conftest import key

PATH = "/v1/inbox"
ADDRESS = "worker@agency.example"
AT_ONCE = {"kinds": {"assigned": "immediate", "waiting": "immediate", "overdue": "immediate"}}


class MailServer(Controller):
    """Takes mail, or answers what it is told to, once each; keeps what it was handed."""

    def __init__(self, **options):
        self.got, self.answers, self.hold_s = [], [], 0
        super().__init__(self, hostname="127.0.0.1", port=free_port(), ready_timeout=20, **options)

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802  # its name in aiosmtpd
        message = message_from_bytes(envelope.content, policy=policy.default)
        secure = session.ssl is not None
        self.got.append(SimpleNamespace(to=envelope.rcpt_tos, message=message, secure=secure))
        await asyncio.sleep(self.hold_s)
        return self.answers.pop(0) if self.answers else "250 OK"

    def text(self, place=-1):
        return self.got[place].message.get_content()


@contextlib.contextmanager
def mail_server(**options):
    server = MailServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def credentials(user, password):
    """Let in one user alone."""

    def check(server, session, envelope, mechanism, data):
        known = data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=known, handled=known)

    return check


class Office:
    """An agency with a clinic that sends it work; `worker` is one of the agency's."""

    def __init__(self, world, clinic, agency, server=None):
        self.world, self.clinic, self.agency, self.server = world, clinic, agency, server

    def key(self, worker, organisation=None):
        return worker_key(organisation or self.agency, worker)

    def as_worker(self, worker, organisation=None):
        organisation = organisation or self.agency
        return self.world.client(organisation, actor=f"{new_id('iss')}:{worker}")

    async def task(self, worker=None, *, task=None, status="ready", due=None, holder=None, **more):
        """Let case-svc tell of a task of the agency; `due` is from now on."""
        task = task or new_id("tsk")
        change = {
            "status": status,
            "organisation_id": holder or self.agency,
            "worker_key": self.key(worker, holder) if worker else None,
            "due_at": wire(now() + due) if due is not None else None,
            **more,
        }
        await self.hear("task.changed", task, change)
        return task

    async def referral(self, verb, referral=None, *, by="", **more):
        """Let referral-svc tell of a move of a referral from the clinic to the agency."""
        referral = referral or new_id("ref")
        change = {
            "requester_id": self.clinic,
            "recipient_id": self.agency,
            "accept_by": wire(now() + timedelta(days=3)),
            "start_by": None,
            "contacting_subject_prohibited": False,
            **more,
        }
        parties = [self.clinic, self.agency]
        await self.hear(f"referral.{verb}", referral, change, parties=parties, by=by)
        return referral

    async def message(self, referral, sender):
        change = {"referral_id": referral, "sender_id": sender}
        parties = [self.clinic, self.agency]
        await self.hear("message.sent", new_id("msg"), change, parties=parties)

    async def record(self, *, prohibited, record=None):
        """Let case-svc tell of the clinic's own record of the person."""
        record = record or new_id("rec")
        change = {"record_id": record, "contact_prohibited": prohibited}
        about = {"case_id": None, "classes": ["identity"]}
        await self.hear("person.changed", self.world.person, change, **about)
        return record

    async def hear(self, kind, subject, change, *, by="", **more):
        about = {
            "custodian_id": self.clinic,
            "person_id": self.world.person,
            "case_id": self.world.case,
            "classes": ["coordination"],
            "href": f"/v1/{'tasks' if subject.startswith('tsk') else 'referrals'}/{subject}",
            **more,
        }
        await self.world.hear(kind, subject, change, by=by, **about)

    async def inbox(self, worker="ada", organisation=None, **params):
        answer = await self.as_worker(worker, organisation).get(PATH, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def told(self, worker="ada", organisation=None, **params):
        """The kinds of what a worker is told, newest first."""
        return [item["kind"] for item in await self.inbox(worker, organisation, **params)]

    async def pass_time(self, times=5):
        """Turn the loop until nothing is left to do; no mail is sent where there is no server."""
        async with self.loop() as loop:
            for _ in range(times):
                if not await loop.step():
                    return
            raise AssertionError("reminding does not come to rest")

    @contextlib.asynccontextmanager
    async def loop(self, **settings):
        found = self.world.settings.model_copy(update=settings)
        yield Loop(self.world.db, self.world.app.state.rights, found, asyncio.Event())

    async def prefers(self, worker="ada", organisation=None, *, address=ADDRESS, **said):
        """Say where the worker is written to, and give back the code that was mailed."""
        client = self.as_worker(worker, organisation)
        body = {"email": address, **said}
        answer = await client.put(f"{PATH}/preferences", json=body, headers=key())
        assert answer.status_code == 200, answer.text
        if answer.json()["verified"]:
            return answer.json()
        await self.pass_time()
        given = {"code": self.server.text().split()[0]}
        answer = await client.post(f"{PATH}/preferences/verify", json=given, headers=key())
        assert answer.status_code == 200, answer.text
        self.server.got.clear()
        return answer.json()

    async def mails(self):
        rows = await self.world.sql("SELECT kind, status, reason, attempts FROM mail ORDER BY id")
        return [tuple(row) for row in rows]


def trusting(certificate, private):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context
