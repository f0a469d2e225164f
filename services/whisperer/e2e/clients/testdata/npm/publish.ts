// Publishes one event to a subject three times: in the envelope, and as CloudEvents in both modes.
import { CloudEvent, HTTP, type Message } from "cloudevents";
import { connect, headers } from "nats";

const [, , subject, data] = process.argv;
if (!subject || !data) throw new Error("usage: publish SUBJECT DATA");
const nc = await connect({ servers: process.env["NATS_URL"] ?? "" });
const js = nc.jetstream();

async function publish(id: string, header: Record<string, unknown>, body: string): Promise<void> {
  const h = headers();
  for (const [name, value] of Object.entries(header)) h.set(name, String(value));
  const ack = await js.publish(subject ?? "", body, { msgID: id, headers: h });
  console.log(`${ack.stream} ${ack.seq}`);
}

await publish("nats-envelope", { "Content-Type": "application/json" }, JSON.stringify({ event_id: "nats-envelope", entity: "nats:1", data: JSON.parse(data) }));
const event = (id: string) => new CloudEvent({ id, source: "/shop", type: "order.created", subject: "nats:1", datacontenttype: "application/json", data: JSON.parse(data) as object });
const structured: Message<unknown> = HTTP.structured(event("nats-structured"));
await publish("nats-structured", structured.headers, String(structured.body));
const binary: Message<unknown> = HTTP.binary(event("nats-binary"));
await publish("nats-binary", binary.headers, String(binary.body));
await nc.drain();
