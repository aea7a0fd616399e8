// Verifies calls with the official library. Reads [{secret, headers, body}], answers [the body's object, or null].
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const calls = JSON.parse(readFileSync(0, "utf8"));
const verified = calls.map(({ secret, headers, body }) => {
  try {
    return new Webhook(secret).verify(body, headers);
  } catch {
    return null;
  }
});
process.stdout.write(JSON.stringify(verified));
