// A product with posthog-node, as the module that the argument names; as python_rows.py.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

globalThis.crypto ??= webcrypto;
// What it says of failures is no news here.
console.error = () => {};
const { PostHog } = await import(process.argv[2]);

const RETRY_DELAY_MS = 100;
const TIMEOUT_MS = 5000;

async function play(token, { host, events, flag }) {
  const client = new PostHog(token, {
    host,
    flushAt: Math.max(events.length, 1),
    flushInterval: 0,
    fetchRetryDelay: RETRY_DELAY_MS,
    requestTimeout: TIMEOUT_MS,
    featureFlagsRequestTimeoutMs: TIMEOUT_MS,
  });
  for (const event of events) {
    client.capture({ event, distinctId: "user-1" });
  }
  const value = events.length ? null : await client.getFeatureFlag(flag, "user-1");
  await client.shutdown();
  return value ?? null;
}

const { token, rows } = JSON.parse(readFileSync(0, "utf8"));
const values = await Promise.all(
  rows.map(async (row) => [row.name, await play(token, row)]),
);
console.log(JSON.stringify(Object.fromEntries(values)));
