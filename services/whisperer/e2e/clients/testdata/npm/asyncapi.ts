// Validates the AsyncAPI document, and prints the subjects that it has, so that the test can publish to them.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync("asyncapi.json", "utf8"));
const bad = diagnostics.filter((d) => d.severity <= 1 && d.code !== "asyncapi-servers"); // where NATS is, is the operator's to say
if (!document || bad.length > 0) {
  console.error(JSON.stringify(bad, null, 1));
  process.exit(1);
}
for (const channel of document.channels().all()) console.log(channel.address());
