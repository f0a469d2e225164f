// Verifies deliveries, one JSON object a line, as HTTP Message Signatures (RFC 9421) by two libraries, with the keys that the API
// publishes, and prints the keyid of each.
import { createHash, createPublicKey, type JsonWebKey, verify as verifyWith } from "node:crypto";
import { createInterface } from "node:readline";
import { verifySignature } from "http-message-sig";
import { createVerifier, httpbis } from "http-message-signatures";

interface Delivery {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

const required = ["@method", "@authority", "@path", "content-digest", "content-type", "webhook-id", "webhook-timestamp"];
const answer = await fetch(process.env["JWKS_URL"]!);
if (!answer.ok || answer.headers.get("cache-control") !== "public, max-age=900") throw new Error(`key set: ${answer.status}`);
const { keys } = (await answer.json()) as { keys: (JsonWebKey & { kid: string; alg: string })[] };
const algorithms: Record<string, string> = { ES256: "ecdsa-p256-sha256", EdDSA: "ed25519" };

function find(kid: unknown): { key: ReturnType<typeof createPublicKey>; algorithm: string } {
  const jwk = keys.find((k) => k.kid === kid);
  if (!jwk) throw new Error(`no key ${kid} in the key set`);
  return { key: createPublicKey({ key: jwk, format: "jwk" }), algorithm: algorithms[jwk.alg]! };
}

// The digest is what binds the body to the signature: neither library compares it.
function whole(d: Delivery): boolean {
  return d.headers["content-digest"] === `sha-256=:${createHash("sha256").update(d.body).digest("base64")}:`;
}

async function byHttpMessageSignatures(d: Delivery): Promise<boolean> {
  const verified = await httpbis.verifyMessage(
    {
      keyLookup: async ({ keyid }) => {
        const { key, algorithm } = find(keyid);
        return { id: keyid, algs: [algorithm], verify: createVerifier(key, algorithm) };
      },
      requiredFields: required,
      requiredParams: ["created", "keyid", "alg"],
      maxAge: 300,
      tolerance: 5,
    },
    d,
  );
  return verified === true;
}

async function byHttpMessageSig(d: Delivery): Promise<boolean> {
  const fields = Object.entries(d.headers).map(([name, value]) => ({ name, value }));
  try {
    await verifySignature(
      { kind: "request", method: d.method, targetUri: d.url, fields },
      {
        policy: { algorithms: Object.values(algorithms), requiredComponents: required, requiredParameters: ["created", "keyid", "alg"], maxAge: 300, clockSkew: 5 },
        resolveVerifier: ({ parameters }) => {
          const { key, algorithm } = find(parameters.keyid);
          const hash = algorithm === "ed25519" ? null : "sha256";
          return { algorithm, verify: (data, signature) => verifyWith(hash, data, { key, dsaEncoding: "ieee-p1363" }, signature) };
        },
      },
    );
    return true;
  } catch (err) {
    if ((err as { code?: string }).code === "VerificationFailed") return false;
    throw err;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const d = JSON.parse(line) as Delivery;
  if (!whole(d)) throw new Error("the digest is not the body's");
  const other = d.body.replace("{", "{ ");
  if (whole({ ...d, body: other })) throw new Error("the digest is another body's, too");
  const digest = `sha-256=:${createHash("sha256").update(other).digest("base64")}:`;
  for (const verify of [byHttpMessageSignatures, byHttpMessageSig]) {
    if (!(await verify(d))) throw new Error(`${verify.name} does not verify ${line}`);
    for (const [name, forged] of Object.entries({
      body: { ...d, body: other, headers: { ...d.headers, "content-digest": digest } },
      id: { ...d, headers: { ...d.headers, "webhook-id": "another" } },
      time: { ...d, headers: { ...d.headers, "webhook-timestamp": "1" } },
      path: { ...d, url: d.url.replace("/rfc9421", "/other") },
      query: { ...d, url: `${d.url}&more` },
      method: { ...d, method: "PUT" },
    })) {
      if (await verify(forged)) throw new Error(`${verify.name} verifies another ${name}`);
    }
  }
  console.log(/;alg="([^"]+)"/.exec(d.headers["signature-input"]!)![1], /;keyid="([^"]+)"/.exec(d.headers["signature-input"]!)![1]);
}
