// Takes records of a gateway's ZeroMQ uplink and writes each once: node receiver.mjs tcp://127.0.0.1:5560 records.jsonl
import { open } from "node:fs/promises";
import { Router } from "zeromq";

const [endpoint, path] = process.argv.slice(2);
const out = await open(path, "a+");
const have = await out.readFile();
const whole = have.subarray(0, have.lastIndexOf("\n") + 1);
await out.truncate(whole.length); // a kill may have left half a line
const seen = new Set(`${whole}`.match(/.+/g)?.map((line) => JSON.parse(line).key));
const router = new Router({ linger: 0 });
async function write(batch) {
  for (const [, , topic, body, properties] of batch) {
    const { id, part = "" } = JSON.parse(`${properties}`);
    const key = `${id ?? topic} ${part}`.trim();
    if (id !== undefined && seen.has(key)) continue;
    seen.add(key);
    await out.appendFile(`${JSON.stringify({ key, topic: `${topic}`, body: `${body}` })}\n`);
  }
  await out.datasync(); // on disk first, then the answer
  for (const [peer, number] of batch) await router.send([peer, number, "A"]);
}

await router.bind(endpoint);
for (let batch = []; ; batch = []) {
  do batch.push(await router.receive());
  while (router.readable && batch.length < 500);
  await write(batch);
}
