// Asks posthog-node for the flags of many users of many projects, and prints what it answered.
// The argument names the module: today's, or an older one, which knows no evaluateFlags().
//
// Reads {host, projects: [{token, secretKey, askers: [{distinctId, groups, ...}]}]} from stdin;
// prints per project and asker {values, local}: what it answered, and what it decided alone.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

globalThis.crypto ??= webcrypto;
// What it says about definitions that need the server is no news here.
console.warn = () => {};
const { PostHog } = await import(process.argv[2]);

const { host, projects } = JSON.parse(readFileSync(0, "utf8"));

async function values(client, { distinctId, ...options }) {
  if (!client.evaluateFlags) {
    return client.getAllFlags(distinctId, options);
  }
  const flags = await client.evaluateFlags(distinctId, options);
  return Object.fromEntries(flags.keys.map((key) => [key, flags.getFlag(key)]));
}

async function ask({ token, secretKey, askers }) {
  const client = new PostHog(token, {
    host,
    personalApiKey: secretKey,
    enableLocalEvaluation: true,
    sendFeatureFlagEvents: false,
  });
  await client.reloadFeatureFlags();
  const answers = [];
  for (const asker of askers) {
    answers.push({
      values: await values(client, asker),
      local: await values(client, { ...asker, onlyEvaluateLocally: true }),
    });
  }
  await client.shutdown();
  return answers;
}

const answers = [];
for (const project of projects) {
  answers.push(await ask(project));
}
console.log(JSON.stringify(answers));
