// Verifies v1a signatures with what Node itself has. Reads [{publicKey, headers, body}], answers [true or false].
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const calls = JSON.parse(readFileSync(0, "utf8"));
const verified = calls.map(({ publicKey, headers, body }) => {
  const raw = Buffer.from(publicKey.slice("whpk_".length), "base64");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
  const message = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  return headers["webhook-signature"]
    .split(" ")
    .filter((one) => one.startsWith("v1a,"))
    .some((one) => verify(null, message, key, Buffer.from(one.slice("v1a,".length), "base64")));
});
process.stdout.write(JSON.stringify(verified));
