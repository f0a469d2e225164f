// Reads deliveries, one JSON object a line, as a receiver would whose types are those of the webhooks in the OpenAPI document.
import { createInterface } from "node:readline";
import { CloudEvent, HTTP } from "cloudevents";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";
import type { webhooks } from "./openapi.js";

type Created = webhooks["order.created"]["post"];
type Body = Created["requestBody"]["content"]["application/json"];
type Headers = Created["parameters"]["header"];

/** The newest order that was heard of, by its number. */
const orders = new Map<number, { sequence: number; status: string }>();

function handle(headers: Headers, body: Body): void {
  const sequence = Number(headers["X-Whisperer-Sequence"] ?? 0);
  if (!Number.isSafeInteger(sequence) || sequence === 0) throw new Error(`sequence ${sequence}`);
  const before = orders.get(body.data.id);
  if (before && before.sequence >= sequence) return;
  orders.set(body.data.id, { sequence, status: body.data.status });
}

interface Delivery {
  /** The secret as it is given to the libraries. */
  secret: string;
  /** Whether the secret is given by its bytes. */
  raw: boolean;
  /** Whether a library must refuse it. */
  refused: boolean;
  headers: Record<string, string>;
  body: string;
}

function read(d: Delivery): void {
  for (const verify of [
    () => new Standard(d.secret, d.raw ? { format: "raw" } : {}).verify(d.body, d.headers),
    () => new Svix(d.secret, d.raw ? { format: "raw" } : {}).verify(d.body, d.headers),
  ]) {
    let refused = false;
    try {
      verify();
    } catch (err) {
      if (!d.refused) throw err;
      refused = true;
    }
    if (refused !== d.refused) throw new Error("a secret that is another one verifies");
  }
  if (d.refused) return;
  if (d.headers["content-type"] === "application/cloudevents+json") {
    const event = HTTP.toEvent({ headers: d.headers, body: d.body });
    if (!(event instanceof CloudEvent)) throw new Error("no single CloudEvent");
    event.validate();
    if (event.type !== "order.created" || Number(event["sequence"]) !== Number(d.headers["x-whisperer-sequence"])) {
      throw new Error(`strange CloudEvent ${JSON.stringify(event)}`);
    }
    return;
  }
  const typed = Object.fromEntries(
    Object.entries({
      "webhook-id": d.headers["webhook-id"], "webhook-timestamp": Number(d.headers["webhook-timestamp"]),
      "X-Whisperer-Event": d.headers["x-whisperer-event"], "X-Whisperer-Delivery": d.headers["x-whisperer-delivery"],
      "X-Whisperer-Event-Id": d.headers["x-whisperer-event-id"], "X-Whisperer-Attempt": Number(d.headers["x-whisperer-attempt"]),
      "X-Whisperer-Sequence": Number(d.headers["x-whisperer-sequence"]), traceparent: d.headers["traceparent"],
    }),
  ) as unknown as Headers;
  handle(typed, JSON.parse(d.body) as Body);
}

for await (const line of createInterface({ input: process.stdin })) read(JSON.parse(line) as Delivery);
for (const [id, order] of orders) console.log(`order ${id} ${order.status} ${order.sequence}`);
