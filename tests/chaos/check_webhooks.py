"""What partners got, beside what the service says it sent: I5 to I10."""

from collections import Counter, defaultdict

from notify_svc.domain.sealing import Sealer, key_of

from tests.chaos import plan
from tests.chaos.signatures import verifier

ENDS = {"delivered", "exhausted", "cancelled", "expired"}
TOLERANCE_S = 300  # Standard Webhooks: what a receiver accepts
GRACE_S = 1.5
# the key that svckit.testing gives to services
_SEALER = Sealer([key_of("0" * 64)])


def webhooks(seen, found, figures, struck):
    endpoints = {row["id"]: row for row in seen.rows("endpoints")}
    names = {_name(row["url"]): row["id"] for row in endpoints.values()}
    deliveries = list(seen.rows("deliveries"))
    attempts = list(seen.rows("attempts"))
    received = seen.lines("received")
    for request in received:
        request["endpoint_id"] = names.get(request["endpoint"])
    figures["deliveries"] = dict(Counter(row["status"] for row in deliveries))
    figures["requests"] = len(received)
    _states(found, deliveries, endpoints)
    _ended(seen, found)
    _every_endpoint(seen, found, deliveries, endpoints)
    _arrived(found, figures, deliveries, received, len(struck))
    _bytes(seen, found, received)
    _attempts(found, attempts, received)
    _forbidden(seen, found, received)
    ordered(seen, found, endpoints, received)


def _name(url):
    return url.split("/")[4] if "/e/" in url else url


def _states(found, deliveries, endpoints):
    """I5: nothing is under way any more but what a partner asked to have later."""
    for row in deliveries:
        endpoint, status = endpoints[row["endpoint_id"]], row["status"]
        fine = {
            "held": endpoint["enabled"] == "0" and endpoint["removed"] == "0",
            "pending": float(row["due_in_s"]) > 60 and "busy-absurd" in endpoint["url"],
            "cancelled": endpoint["removed"] == "1",
        }.get(status, status in ENDS)
        if not fine:
            found.add("I5", f"a delivery to {_name(endpoint['url'])} is {status} {row['reason']}")


def _ended(seen, found):
    for row in seen.rows("moves"):
        if row["old"] in ENDS:
            found.add("end", f"delivery {row['delivery_id']}: {row['old']}, then {row['new']}")


def _every_endpoint(seen, found, deliveries, endpoints):
    """I5: from the first that an endpoint was sent, it has everything that its owner was told."""
    feeds = defaultdict(dict)
    told = {row["id"] for row in seen.rows("told")}
    for row in seen.rows("feed"):
        if row["message_id"] not in told:
            continue  # a word to the owner about one of its endpoints
        feeds[row["organisation_id"]][row["message_id"]] = int(row["seq"])
    sent = defaultdict(set)
    for row in deliveries:
        sent[row["endpoint_id"]].add(row["message_id"])
    for endpoint_id, messages in sent.items():
        if endpoints[endpoint_id]["removed"] == "1":
            continue
        feed = feeds[endpoints[endpoint_id]["organisation_id"]]
        first = min((feed[message] for message in messages if message in feed), default=0)
        missing = {message for message, seq in feed.items() if seq >= first} - messages
        if missing:
            name = _name(endpoints[endpoint_id]["url"])
            found.add("I5", f"{len(missing)} messages have no delivery to {name}")


def _arrived(found, figures, deliveries, received, faults):
    """I6: what is called delivered was answered with 2xx; repeats only where something died."""
    good = Counter(
        (request["endpoint_id"], request["id"])
        for request in received
        if 200 <= (request["status"] or 0) < 300
    )
    for row in deliveries:
        if row["status"] == "delivered" and not good[row["endpoint_id"], row["message_id"]]:
            found.add("I6", f"{row['id']} is called delivered, and nobody answered so")
    repeats = sum(count - 1 for count in good.values())
    figures["repeated requests"] = repeats
    figures["repeats per million requests"] = round(repeats * 1e6 / max(sum(good.values()), 1))
    if repeats > faults * plan.IN_FLIGHT:
        found.add("I6", f"{repeats} requests repeated after {faults} faults")


def _bytes(seen, found, received):
    """I7: the same bytes under one id, signed by a key of the endpoint, at about that time."""
    secrets = defaultdict(set)
    for row in seen.rows("secrets"):
        secrets[row["endpoint_id"]].add(_SEALER.open(row["value"], row["endpoint_id"]))
    for line in seen.lines("endpoints"):
        if "secret" in line:
            secrets[line["endpoint"]].add(line["secret"])
    verifiers = {key: [verifier(value) for value in values] for key, values in secrets.items()}
    bodies = {line["digest"]: line["body"].encode("latin-1") for line in received if "body" in line}
    digests = {}
    for request in received:
        message_id, digest = request["id"], request["digest"]
        if digests.setdefault(message_id, digest) != digest:
            found.add("I7", f"{message_id} came with other bytes")
        if abs(request["at"] - int(request["timestamp"] or 0)) > TOLERANCE_S:
            found.add("I7", f"{message_id} came with the timestamp {request['timestamp']}")
        content = f"{message_id}.{request['timestamp']}.".encode() + bodies.get(digest, b"")
        known = verifiers.get(request["endpoint_id"], ())
        entries = (request["signature"] or "").split()
        if known and not any(verify(content, entry) for entry in entries for verify in known):
            found.add("I7", f"{message_id} came to {request['endpoint']} with no valid signature")


def _attempts(found, attempts, received):
    """I8: a request without an attempt that was written before, or an answer without a request."""
    written = Counter((row["endpoint_id"], row["message_id"]) for row in attempts)
    answered = Counter(
        (row["endpoint_id"], row["message_id"]) for row in attempts if row["response_status"] != "0"
    )
    requests = Counter((line["endpoint_id"], line["id"]) for line in received)
    for key, count in requests.items():
        if count > written[key]:
            found.add("I8", f"{key}: {count} requests, {written[key]} attempts")
    for key, count in answered.items():
        if count > requests[key]:
            found.add("I8", f"{key}: {count} answers written, {requests[key]} requests came")


def _forbidden(seen, found, received):
    """I9: no redirect is followed; nothing comes a lease after an endpoint was shut."""
    shut = defaultdict(list)
    for line in seen.lines("endpoints"):
        if line["what"] in {"disabled", "removed"}:
            shut[line["endpoint"]].append([line["at"], float("inf")])
        elif line["what"] == "enabled":
            for span in shut[line["endpoint"]]:
                span[1] = min(span[1], line["at"])
    lease_s = plan.DELIVER_LEASE_S + GRACE_S
    for request in received:
        if request["endpoint"] == "redirected":
            found.add("I9", "a redirect was followed")
        for begin, end in shut.get(request["endpoint_id"], ()):
            if begin + lease_s < request["at"] < end:
                late_s = request["at"] - begin
                found.add(
                    "I9", f"a request to {request['endpoint']} {late_s:.1f} s after it was shut"
                )


def ordered(seen, found, endpoints, received):
    """I10: an ordered endpoint gets nothing of a case before it has answered 2xx to what came before.

    What ended otherwise, exhausted or cancelled, is not waited for.
    """
    versions = {row["id"]: (row["subject"], int(row["version"])) for row in seen.rows("told")}
    asked, answered = defaultdict(dict), defaultdict(dict)
    for request in received:
        endpoint = endpoints.get(request["endpoint_id"])
        if not endpoint or endpoint["ordering"] != "fifo" or request["id"] not in versions:
            continue
        subject, version = versions[request["id"]]
        key = request["endpoint_id"], subject
        asked[key].setdefault(version, request["at"])
        if 200 <= (request["status"] or 0) < 300:
            answered[key].setdefault(version, request["at"])
    for (endpoint_id, subject), times in asked.items():
        for version, at in times.items():
            before = answered[endpoint_id, subject].get(version - 1)
            if before is not None and at < before:
                name = _name(endpoints[endpoint_id]["url"])
                found.add("I10", f"{name} got {subject} version {version} before the one before")
