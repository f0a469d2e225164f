import createClient from "openapi-fetch";
import type { components, paths } from "./openapi.js";
import { check, settings, until } from "./life.js";

const api = createClient<paths>({ baseUrl: settings.url, headers: { Authorization: `Token ${settings.token}` } });

const made = await api.POST("/whisperer/hooks/", {
  params: {},
  body: {
    event_types: ["order.created"],
    target_url: `${settings.receiver}/openapi-fetch`,
    secret_key: "secret",
    config: { channel_id: 12, filter: 'event.entity == "openapi-fetch:1"' },
    retry_countdown_config: { choice: "fixed", kwargs: { seconds: 60 } },
  },
});
check("create", made.response.status === 201 && made.data !== undefined);
const hook: components["schemas"]["Hook"] = made.data;
const path = { id: hook.id };

const got = await api.GET("/whisperer/hooks/{id}/", { params: { path } });
check("get", got.data?.has_secret === true && got.data.event_types[0] === "order.created");

const list = await api.GET("/whisperer/hooks/", { params: { query: { target_url: hook.target_url, limit: 10 } } });
check("list", list.data?.results.length === 1 && list.data.results[0]?.id === hook.id);

const changed = await api.PATCH("/whisperer/hooks/{id}/", { params: { path, header: { "If-Match": `"${hook.version}"` } }, body: { name: "shop" } });
check("update", changed.data?.name === "shop" && changed.data.version === hook.version + 1);

const whole = await api.PUT("/whisperer/hooks/{id}/", { params: { path }, body: changed.data });
check("what was read is written back unchanged", whole.data?.version === changed.data.version);

const tried = await api.POST("/whisperer/hooks/{id}/test/", { params: { path }, body: {} });
check("test", tried.data?.attempt.status === 200);

const paused = await api.POST("/whisperer/hooks/{id}/pause/", { params: { path } });
check("pause", paused.data?.status === "paused");
const resumed = await api.POST("/whisperer/hooks/{id}/resume/", { params: { path } });
check("resume", resumed.data?.status === "active");

const data: unknown = { id: 1042, lines: [{ sku: "AP-LAMP-OAK", quantity: 1 }] };
const published = await api.POST("/whisperer/events/", { body: { event_type: "order.created", entity: "openapi-fetch:1", data } });
check("publish", published.response.status === 202 && typeof published.data?.event_id === "string");

const delivery = await until("list deliveries", async () => {
  const page = await api.GET("/whisperer/hooks/{id}/deliveries/", { params: { path } });
  return page.data?.results.find((d) => d.state === "delivered");
});
const eventId = published.data.event_id;
await until("get the event", async () => (await api.GET("/whisperer/events/{id}/", { params: { path: { id: eventId } } })).data);
const retried = await api.POST("/whisperer/deliveries/{id}/retry/", { params: { path: { id: delivery.id } }, body: { force: true } });
check("retry", retried.response.ok);
await until("the second attempt", async () => {
  const one = await api.GET("/whisperer/deliveries/{id}/", { params: { path: { id: delivery.id } } });
  return one.data && one.data.attempts.length === 2 && one.data.state === "delivered" ? one.data : undefined;
});

const gone = await api.DELETE("/whisperer/hooks/{id}/", { params: { path } });
check("delete", gone.response.status === 204);
const absent = await api.GET("/whisperer/hooks/{id}/", { params: { path } });
check("a problem has its type", absent.response.status === 404 && absent.error?.title === "Not Found");
