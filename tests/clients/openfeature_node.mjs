// Asks OpenFeature's SDK for servers, by its OFREP provider, and prints what it answered.
//
// Reads {url, headers: [[name, value]], asked: [{type, key, fallback, context}]} from stdin; prints
// the details of each: {value, variant, reason, errorCode, metadata}.
import { readFileSync } from "node:fs";

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

const { url, headers, asked } = JSON.parse(readFileSync(0, "utf8"));
const silent = () => {};
OpenFeature.setLogger({ error: silent, warn: silent, info: silent, debug: silent });
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
const client = OpenFeature.getClient();
const ask = {
  boolean: client.getBooleanDetails,
  string: client.getStringDetails,
  integer: client.getNumberDetails,
  float: client.getNumberDetails,
  object: client.getObjectDetails,
};

const answers = [];
for (const { type, key, fallback, context } of asked) {
  const details = await ask[type].call(client, key, fallback, context);
  const { value, variant, reason, errorCode, flagMetadata } = details;
  answers.push({ value, variant, reason, errorCode, metadata: flagMetadata });
}
console.log(JSON.stringify(answers));
await OpenFeature.close();
