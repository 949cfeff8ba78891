// Calls an exposed shop in every way; prints what it got, as JSON.

import fs from "node:fs";
import { Client, NumberArray } from "../../../docs/examples/client.mjs";

const client = await Client.connect(JSON.parse(fs.readFileSync(process.argv[2])));
const found = {};

found.scalars = (await client.call(
  "echo", null, true, -7, 2 ** 40, 0.1, "naïve", Buffer.from([0, 255]))).args
  .map((part) => (Buffer.isBuffer(part) ? { bytes: [...part] } : part));
found.large = (await client.call("echo", 2n ** 64n - 1n, -(2n ** 63n))).args.map(String);
const nested = { a: [1, [2, { b: null }]], c: {}, long: Array(300).fill("x") };
const { args, kwargs } = await client.start(
  "echo", [nested], { kwargs: { more: nested } }).outcome;
found.nested = [args[0], kwargs.more].map((part) => JSON.stringify(part) ===
  JSON.stringify(nested));
const image = NumberArray.of(Uint8Array.of(0, 1, 2, 253, 254, 255), [2, 3]);
const scaled = await client.start("scaled", [image], { kwargs: { by: 0.5 } }).outcome;
found.scaled = [scaled.dtype, scaled.shape, [...scaled.values()]];
const ones = NumberArray.of(new Float32Array(300_000).fill(1), [300, 1000]);
const sum = await client.call("add", ones, ones);
found.sum = [sum.dtype, sum.shape, sum.values().every((number) => number === 2)];
const item = await client.call("item");
found.item = [item.name, item.prices.shape, [...item.prices.values()]];

const failure = async (outcome) => {
  try {
    return await outcome;
  } catch (error) {
    return [error.type, error.message];
  }
};
found.failed = await failure(client.call("fail"));
found.unsendable = await failure(client.call("make_set"));
found.missing = await failure(client.call("sel"));
found.late = await failure(
  client.start("wait_for", [99], { seconds: 0.05 }).outcome);
const cancelled = client.start("wait_for", [99]);
client.cancel(cancelled.number);
found.cancelled = await failure(cancelled.outcome);
// A parked call is answered when another one lets it proceed.
const parked = client.start("wait_for", [1]);
found.sold = await client.call("sell");
found.parked = await parked.outcome;

client.close();
console.log(JSON.stringify(found));
