// Verifies deliveries, one JSON object a line, by the libraries of the vendors whose schemes config.signature has presets for.
import "@shopify/shopify-api/adapters/node";
import { createInterface } from "node:readline";
import { verify } from "@octokit/webhooks-methods";
import { shopifyApi } from "@shopify/shopify-api";
import { Stripe } from "stripe";

interface Delivery {
  secret: string;
  headers: Record<string, string>;
  body: string;
}

const stripe = new Stripe("unused");

async function byShopify(d: Delivery): Promise<boolean> {
  const api = shopifyApi({ apiSecretKey: d.secret, apiKey: "unused", hostName: "unused", apiVersion: "2026-01" as never, isEmbeddedApp: false, logger: { log: async () => {} } });
  // The library also wants to know whose webhook it is, which only Shopify can say.
  const theirs = { "x-shopify-topic": "orders/create", "x-shopify-shop-domain": "a.myshopify.com", "x-shopify-api-version": "2026-01", "x-shopify-webhook-id": "1" };
  const result = await api.webhooks.validate({ rawBody: d.body, rawRequest: { method: "POST", url: "/", headers: { ...d.headers, ...theirs } } });
  return result.valid;
}

const vendors: Record<string, (d: Delivery) => Promise<boolean>> = {
  "x-hub-signature-256": (d) => verify(d.secret, d.body, d.headers["x-hub-signature-256"] ?? ""),
  "x-shopify-hmac-sha256": byShopify,
  "stripe-signature": async (d) => {
    try {
      stripe.webhooks.constructEvent(d.body, d.headers["stripe-signature"] ?? "", d.secret);
      return true;
    } catch (err) {
      if (String(err).includes("signature")) return false;
      throw err;
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const d = JSON.parse(line) as Delivery;
  const header = Object.keys(vendors).find((name) => name in d.headers);
  if (!header) throw new Error(`no signature of a vendor: ${Object.keys(d.headers)}`);
  const vendor = vendors[header]!;
  if (!(await vendor(d))) throw new Error(`${header} does not verify`);
  if (await vendor({ ...d, secret: d.secret + "x" })) throw new Error(`${header} verifies with another secret`);
  if (await vendor({ ...d, body: d.body.replace("{", "{ ") })) throw new Error(`${header} verifies another body`);
  console.log("verified", header);
}
