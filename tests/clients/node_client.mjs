// Runs calls of posthog-node, in their order, and prints what they returned.
//
// Reads {token, options, calls: [[method, ...arguments], ...]} from stdin.
import { readFileSync } from "node:fs";
import { PostHog } from "posthog-node";

const { token, options, calls } = JSON.parse(readFileSync(0, "utf8"));
const client = new PostHog(token, options);
client.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});
const results = [];
for (const [method, ...args] of calls) {
  results.push((await client[method](...args)) ?? null);
}
await client.shutdown();
console.log(JSON.stringify(results));
