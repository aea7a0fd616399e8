// Receives hotline-watch's warnings with Node.js 20 alone: verifies, stores, files each case in order, pulls what is missing.
//
//     WEBHOOK_SECRETS=whsec_… PORT=8080 node receiver.mjs
//
// From the environment: WEBHOOK_SECRETS (comma separated: two while a secret is replaced), STORE (a file of JSON lines, one process
// each), HOST, PORT; PULL_URL, PULL_TOKEN and PULL_SECONDS (how often it pulls anyway); SKIP_GAPS=1 (after the first pull, wait no
// more for what nobody has). Put a proxy with TLS before it that passes on POST /alerts alone; GET /filed is for trying out.

import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, fsyncSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const BODY_BYTES_MAX = 1024 * 1024;
const PAGE_BYTES_MAX = 64 * 1024 * 1024;
const TOLERANCE_SECONDS = 300;
const env = process.env;

const secrets = (env.WEBHOOK_SECRETS ?? "").split(",").map((text) => text.trim()).filter(Boolean).map((text) => {
  const key = Buffer.from(/^whsec_[\w+/]+=*$/.test(text) ? text.slice(6) : "", "base64");
  return key.length >= 24 ? key : fail("WEBHOOK_SECRETS: give whsec_…, several separated by commas");
});
if (secrets.length === 0) fail("WEBHOOK_SECRETS: give whsec_…, several separated by commas");

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Whether one of the secrets signed this very body within the last five minutes. */
function isVerified(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp = "", "webhook-signature": signature = "" } = headers;
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  if (!id || !/^\d{1,12}$/.test(timestamp) || age > TOLERANCE_SECONDS) return false;
  const given = signature.split(" ").filter((one) => one.startsWith("v1,")).map((one) => Buffer.from(one.slice(3), "base64"));
  return secrets.some((secret) => {
    const expected = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest();
    return given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
  });
}

/** A delivery as it is stored. Throws where it is none. */
function entryOf(id, alert, pulled) {
  const isObject = typeof alert === "object" && alert !== null && !Array.isArray(alert);
  const { case_id: caseId, delivery_sequence: number } = isObject ? alert : {};
  if (typeof id !== "string" || typeof caseId !== "string" || !Number.isSafeInteger(number) || number < 1) {
    throw new SyntaxError("not a delivery");
  }
  const drill = alert.drill === true || alert.kind === "drill";
  return { id, caseId, number, drill, whole: pulled || !("fetch" in alert) || !env.PULL_URL, alert }; // a thin call waits for its contents
}

// The store: lines { took }, { filed } and { cursor }, each appended before it counts. What stands below is what the lines say.
process.umask(0o077); // the store is nobody else's to read
const file = openSync(env.STORE ?? "warnings.jsonl", "a+");
const whole = new Map(); // delivery id → whether all of it is here
const waiting = new Map(); // delivery id → entry, not filed yet
const last = new Map(); // case id → the greatest delivery_sequence filed
const filed = [];
let cursor = "";

const stored = readFileSync(file);
const end = stored.lastIndexOf(10) + 1;
ftruncateSync(file, end); // half a line was never acknowledged
for (let from = 0, to; from < end; from = to) {
  to = stored.indexOf(10, from) + 1;
  apply(JSON.parse(stored.toString("utf8", from, to)));
}

function apply(line) {
  if ("cursor" in line) cursor = line.cursor;
  if ("took" in line) {
    const isFiled = whole.has(line.took.id) && !waiting.has(line.took.id);
    whole.set(line.took.id, line.took.whole);
    if (!isFiled) waiting.set(line.took.id, line.took);
  }
  if ("filed" in line) {
    const { id, caseId, number, drill } = waiting.get(line.filed);
    waiting.delete(id);
    last.set(caseId, Math.max(number, last.get(caseId) ?? 0));
    if (!drill) filed.push({ case_id: caseId, delivery_sequence: number, delivery_id: id });
  }
}

function append(lines) {
  try {
    appendFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    fsyncSync(file); // blocks for a moment; what is acknowledged must be on the disk
  } catch (error) {
    fail(`the store cannot be written: ${error.code}`); // the next start cuts half a line off
  }
  lines.forEach(apply);
}

/** Keep what is new and, after it, the cursor. What came thin is completed by what is pulled. */
function take(entries, next) {
  const fresh = entries.filter(({ id, whole: isWhole }) => !whole.has(id) || (isWhole && !whole.get(id)));
  const drills = fresh.filter(({ id, drill }) => drill && !whole.has(id));
  const lines = fresh.map((took) => ({ took }));
  if (next !== undefined && next !== cursor) lines.push({ cursor: next });
  if (lines.length > 0) append(lines);
  for (const { id } of drills) process.stdout.write(`drill received: ${JSON.stringify(id)}\n`);
}

/** File what is next in its case. */
function fileReady(overGaps = false) {
  for (const entry of [...waiting.values()].sort((one, other) => one.number - other.number)) {
    if (!overGaps && !(entry.whole && entry.number <= (last.get(entry.caseId) ?? 0) + 1)) continue;
    // Here, unless it is a drill, your own work with entry.alert begins. After a crash it is done again, so let it know a delivery
    // id that it has seen. In force is, of each case_id and rule.id, the version with the greatest sequence, unless its status is
    // retracted.
    append([{ filed: entry.id }]);
  }
}

/** Fetch page after page from where the last pull ended. Throws whatever goes wrong. */
async function pull() {
  for (let more = Boolean(env.PULL_URL); more; ) {
    const url = `${env.PULL_URL}?${new URLSearchParams({ limit: "100", ...(cursor && { after: cursor }) })}`;
    const headers = { authorization: `Bearer ${env.PULL_TOKEN ?? ""}` };
    const answer = await fetch(url, { headers, redirect: "error", signal: AbortSignal.timeout(30_000) });
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    const page = JSON.parse(await read(answer.body, PAGE_BYTES_MAX));
    more = page.more && page.next !== cursor;
    take(page.alerts.map(({ alert, ...rest }) => entryOf(rest.delivery_id, { ...alert, ...rest }, true)), page.next);
    fileReady();
  }
}

async function read(stream, bytesMax) {
  const chunks = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > bytesMax) throw new RangeError("too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

let wake = () => {};

/** File what comes; pull at the start, when something new has to wait, and every PULL_SECONDS. Never returns. */
async function work() {
  let known = new Set();
  let pullAt = 0;
  let skip = env.SKIP_GAPS === "1";
  for (;;) {
    const woken = new Promise((resolve) => { wake = resolve; });
    try {
      fileReady();
      if (performance.now() >= pullAt || [...waiting.keys()].some((id) => !known.has(id))) {
        known = new Set(waiting.keys());
        pullAt = performance.now() + Number(env.PULL_SECONDS ?? 60) * 1000;
        await pull();
        fileReady(skip);
        skip = false;
        if (waiting.size > 0) process.stderr.write(`${waiting.size} wait for an earlier one of their case\n`);
      }
    } catch (error) {
      const what = error instanceof SyntaxError ? "unreadable" : error.message; // a parser's message shows the text
      process.stderr.write(`to be tried again: ${error.cause?.code ?? what}\n`);
    }
    const timer = setTimeout(wake, Math.max(pullAt - performance.now(), 100));
    await woken;
    clearTimeout(timer);
  }
}

async function receive(request) {
  if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES_MAX) return 413;
  let body;
  try {
    body = await read(request.iterator({ destroyOnReturn: false }), BODY_BYTES_MAX);
  } catch (error) {
    return error instanceof RangeError ? 413 : 400;
  }
  if (!isVerified(request.headers, body)) return 401;
  try {
    take([entryOf(request.headers["webhook-id"], JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)), false)]);
  } catch {
    return 400;
  }
  wake();
  return 204;
}

const server = createServer(async (request, response) => {
  const [pathname] = request.url.split("?");
  if (request.method === "GET" && pathname === "/filed") {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(filed));
  } else if (request.method === "POST" && pathname === "/alerts") {
    const status = await receive(request);
    response.writeHead(status, status === 413 ? { connection: "close" } : {}).end();
  } else {
    response.writeHead(404, { connection: "close" }).end();
  }
});
server.listen(Number(env.PORT ?? 8080), env.HOST ?? "127.0.0.1", () => {
  process.stdout.write(`listening on ${server.address().port}\n`);
  work();
});
