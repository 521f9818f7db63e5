// Runs calls of posthog-node, of the module that the argument names, and prints what they returned.
//
// Reads {token, options, calls: [[method, ...arguments], ...]} from stdin.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

// posthog-node asks for Node 20.20; on Debian 12's Node 18 this is all that it lacks.
globalThis.crypto ??= webcrypto;
const { PostHog } = await import(process.argv[2]);

const { token, options, calls } = JSON.parse(readFileSync(0, "utf8"));
const client = new PostHog(token, options);
client.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});

const plain = (result) =>
  typeof result?.getFlag === "function"
    ? Object.fromEntries(result.keys.map((key) => [key, result.getFlag(key)]))
    : (result ?? null);

const results = [];
for (const [method, ...args] of calls) {
  results.push(plain(await client[method](...args)));
}
await client.shutdown();
console.log(JSON.stringify(results));
