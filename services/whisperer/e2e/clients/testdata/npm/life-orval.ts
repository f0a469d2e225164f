import {
  changeHook, createHook, deleteHook, getDelivery, getEvent, getHook, listHookDeliveries, listHooks, pauseHook, publishEvents, replaceHook, resumeHook,
  retryDelivery, testHook,
} from "./orval-client.js";
import { check, settings, until } from "./life.js";

const auth = { headers: { Authorization: `Token ${settings.token}` } };

const made = await createHook({
  event_types: ["order.created"], target_url: `${settings.receiver}/orval`, secret_key: "secret", config: { channel_id: 12, filter: 'event.entity == "orval:1"' },
}, auth);
check("create", made.status === 201);
const hook = made.data;

const got = await getHook(hook.id, auth);
check("get", got.status === 200 && got.data.has_secret);

const list = await listHooks({ target_url: hook.target_url, limit: 10 }, auth);
check("list", list.status === 200 && list.data.results.length === 1);

const changed = await changeHook(hook.id, { name: "shop" }, auth);
check("update", changed.status === 200 && changed.data.name === "shop");

const whole = await replaceHook(hook.id, changed.data, auth);
check("what was read is written back unchanged", whole.status === 200 && whole.data.version === changed.data.version);

const tried = await testHook(hook.id, {}, auth);
check("test", tried.status === 200 && tried.data.attempt.status === 200);

const paused = await pauseHook(hook.id, {}, auth);
check("pause", paused.status === 200 && paused.data.status === "paused");
const resumed = await resumeHook(hook.id, auth);
check("resume", resumed.status === 200 && resumed.data.status === "active");

const published = await publishEvents({ event_type: "order.created", entity: "orval:1", data: { id: 1042 } }, auth);
check("publish", published.status === 202 && published.data.results.length === 1);

const delivery = await until("list deliveries", async () => {
  const page = await listHookDeliveries(hook.id, undefined, auth);
  return page.status === 200 ? page.data.results.find((d) => d.state === "delivered") : undefined;
});
const eventId = published.data.results[0]?.event_id ?? "";
await until("get the event", async () => ((await getEvent(eventId, auth)).status === 200 ? true : undefined));
const retried = await retryDelivery(delivery.id, { force: true }, auth);
check("retry", retried.status === 200);
await until("the second attempt", async () => {
  const one = await getDelivery(delivery.id, auth);
  return one.status === 200 && one.data.attempts.length === 2 && one.data.state === "delivered" ? one.data : undefined;
});

const gone = await deleteHook(hook.id, auth);
check("delete", gone.status === 204);
const absent = await getHook(hook.id, auth);
check("a problem has its type", absent.status === 404 && absent.data.title === "Not Found");
