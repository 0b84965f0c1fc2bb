// Receive Careloop's webhooks: verify, keep, answer, then work. Copy this file and write `work`.
//
//     WEBHOOK_SECRET=whsec_… node receiver.mjs 9000
//
// Node 18 or later is enough. While a secret is rotated WEBHOOK_SECRET holds both, with a space between.
// A message is kept in the folder `inbox` before it is answered: one that comes twice is worked off once,
// one that came before a crash is worked off after it. Put a proxy with TLS in front.

import { createHash, createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import * as fs from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const TOLERANCE_S = 300;
const MAX_BYTES = 256 * 1024;
const REMEMBER_MS = 31 * 86400 * 1000; // longer than Careloop sends a message again
const AGAIN_MS = 5000;

/** Do what the message asks for: your part. What throws is called again. */
async function work(message) {
  console.log(message.type, message.data.href ?? "");
}

/** Standard Webhooks 1.0.0: `v1` (HMAC-SHA256, whsec_) and `v1a` (Ed25519, whpk_). */
export function verifier(secrets) {
  const keys = secrets.split(/\s+/).filter(Boolean).map(keyOf);
  if (!keys.length) throw new Error("no secret");
  return function isGenuine(headers, body, now = Date.now() / 1000) {
    const id = headers["webhook-id"] ?? "";
    const timestamp = headers["webhook-timestamp"] ?? "";
    const entries = (headers["webhook-signature"] ?? "").split(" ");
    if (!/^[\x20-\x7e]+$/.test(id) || !/^[0-9]{1,12}$/.test(timestamp)) return false;
    if (Math.abs(now - Number(timestamp)) > TOLERANCE_S) return false;
    const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
    // every entry under every key: the time it takes tells nothing
    const found = keys.flatMap((key) => entries.map((entry) => matches(key, entry, signed)));
    return found.includes(true);
  };
}

function keyOf(secret) {
  const [, prefix, text] = /^(whsec|whpk)_(.+)$/.exec(secret) ?? [];
  const raw = decoded(text ?? "");
  if (prefix === "whsec" && raw?.length >= 24) {
    const isSigned = (given, signed) => {
      const expected = createHmac("sha256", raw).update(signed).digest();
      return given.length === expected.length && timingSafeEqual(given, expected);
    };
    return { version: "v1", isSigned };
  }
  if (prefix === "whpk" && raw?.length === 32) {
    const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
    const key = createPublicKey({ key: jwk, format: "jwk" });
    return { version: "v1a", isSigned: (given, signed) => verify(null, signed, key, given) };
  }
  throw new Error("a secret is whsec_… with 24 bytes or more, or whpk_…");
}

function decoded(text) {
  const raw = Buffer.from(text, "base64"); // lenient: so what it read is written again and compared
  return raw.toString("base64") === text ? raw : undefined;
}

function matches({ version, isSigned }, entry, signed) {
  const comma = entry.indexOf(",");
  const given = decoded(entry.slice(comma + 1));
  return entry.slice(0, Math.max(comma, 0)) === version && given !== undefined && isSigned(given, signed);
}

/** What was verified, one file per `webhook-id`; a body stays until it is worked off. */
export class Inbox {
  constructor(folder) {
    [this.arriving, this.waiting, this.done] = ["arriving", "waiting", "done"].map((name) => join(folder, name));
    for (const each of [this.arriving, this.waiting, this.done]) fs.mkdirSync(each, { recursive: true });
    const age = (name) => fs.statSync(join(this.waiting, name)).mtimeMs;
    this.queue = fs.readdirSync(this.waiting).sort((one, other) => age(one) - age(other));
    this.forget();
    setInterval(() => this.forget(), 86400 * 1000).unref();
  }

  keep(id, body) {
    const name = createHash("sha256").update(id).digest("hex");
    if ([this.waiting, this.done].some((folder) => fs.existsSync(join(folder, name)))) return;
    const file = fs.openSync(join(this.arriving, name), "w", 0o600);
    fs.writeSync(file, body);
    fs.fsyncSync(file);
    fs.closeSync(file);
    fs.renameSync(join(this.arriving, name), join(this.waiting, name));
    this.queue.push(name);
  }

  read(name) {
    return JSON.parse(fs.readFileSync(join(this.waiting, name)));
  }

  finish(name) {
    fs.writeFileSync(join(this.done, name), "");
    fs.unlinkSync(join(this.waiting, name));
    this.queue.shift();
  }

  forget() {
    for (const name of fs.readdirSync(this.done)) {
      const old = Date.now() - fs.statSync(join(this.done, name)).mtimeMs > REMEMBER_MS;
      if (old) fs.unlinkSync(join(this.done, name));
    }
  }
}

function worker(inbox) {
  let busy = false;
  return async function workOff() {
    if (busy) return;
    busy = true;
    try {
      while (inbox.queue.length) {
        await work(inbox.read(inbox.queue[0]));
        inbox.finish(inbox.queue[0]);
      }
    } catch (error) {
      console.error("again in a moment:", error.name);
      setTimeout(workOff, AGAIN_MS);
    } finally {
      busy = false;
    }
  };
}

async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= MAX_BYTES) chunks.push(chunk);
  }
  return size > MAX_BYTES ? undefined : Buffer.concat(chunks);
}

function receiver(isGenuine, inbox, workOff) {
  const answer = (response, status, content) => {
    const headers = content ? { "Content-Type": "application/json" } : {};
    if (status >= 400) headers.Connection = "close";
    response.writeHead(status, headers).end(content && JSON.stringify(content));
  };
  return async (request, response) => {
    if (request.method !== "POST") return answer(response, 405);
    const body = await bodyOf(request);
    if (body === undefined) return answer(response, 413);
    if (!isGenuine(request.headers, body)) return answer(response, 401);
    const message = JSON.parse(body);
    if (message.type === "webhook.verification") {
      return answer(response, 200, { challenge: message.data.challenge });
    }
    inbox.keep(request.headers["webhook-id"], body);
    answer(response, 204);
    setImmediate(workOff);
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const inbox = new Inbox(process.env.INBOX ?? "inbox");
  const workOff = worker(inbox);
  const receive = receiver(verifier(process.env.WEBHOOK_SECRET ?? ""), inbox, workOff);
  createServer((request, response) => {
    // what cannot be kept is not taken: Careloop sends it again
    receive(request, response).catch(() => (response.headersSent ? response.destroy() : response.writeHead(503).end()));
  }).listen(Number(process.argv[2]), "127.0.0.1", workOff);
}
