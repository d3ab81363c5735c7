import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import { certificateTopic } from "../../gateway/broker/sparkplug-aware.ts";
import { cleanUp, cleanUpAll, startBroker, waitFor } from "./support.ts";

afterEach(cleanUpAll);

const NODE = "spBv1.0/plant/NBIRTH/edge-1";
const DEVICE = "spBv1.0/plant/DBIRTH/edge-1/press";

async function client(url: string) {
  const made = await connectAsync(url, { reconnectPeriod: 0 });
  cleanUp(() => made.endAsync(true));
  return made;
}

/** What a host application that comes later is given for a filter. */
async function kept(url: string, filter: string): Promise<string[]> {
  const host = await client(url);
  const got: string[] = [];
  host.on("message", (topic, payload, { retain }) => got.push(`${topic} ${payload.toString("hex")} ${retain}`));
  await host.subscribeAsync([filter, "end"], { qos: 1 });
  await host.publishAsync("end", "", { qos: 1 });
  await waitFor(() => got.some((text) => text.startsWith("end ")), "its own message");
  return got.filter((text) => !text.startsWith("end ")).sort();
}

describe("the Sparkplug aware server", () => {
  it("[tck-id-conformance-mqtt-aware-basic] passes births on as they are", async () => {
    const { url } = await startBroker();
    const host = await client(url);
    const heard: string[] = [];
    host.on("message", (topic, payload, { retain }) => heard.push(`${topic} ${payload.toString("hex")} ${retain}`));
    await host.subscribeAsync("spBv1.0/#", { qos: 0 });
    const node = await client(url);
    await node.publishAsync(NODE, Buffer.from([1, 0xff, 0]), { qos: 0 });
    await waitFor(() => heard.length > 0, "the birth");
    expect(heard).toEqual([`${NODE} 01ff00 false`]);
  });

  it(
    "[tck-id-conformance-mqtt-aware-store] [tck-id-conformance-mqtt-aware-nbirth-mqtt-topic] " +
      "[tck-id-conformance-mqtt-aware-nbirth-mqtt-retain] [tck-id-conformance-mqtt-aware-dbirth-mqtt-topic] " +
      "[tck-id-conformance-mqtt-aware-dbirth-mqtt-retain] keeps the last birth of each, over a restart too",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-aware-"));
      cleanUp(() => Promise.resolve(rmSync(folder, { recursive: true, force: true })));
      const first = await startBroker({}, undefined, folder);
      const node = await client(first.url);
      for (const byte of [1, 2]) await node.publishAsync(NODE, Buffer.from([byte, 0xff]), { qos: 0 });
      await node.publishAsync(DEVICE, Buffer.from([3]), { qos: 1 });
      await node.publishAsync("spBv1.0/plant/NDATA/edge-1", Buffer.from([4]), { qos: 1 });
      const births = [`$sparkplug/certificates/${DEVICE} 03 true`, `$sparkplug/certificates/${NODE} 02ff true`];
      expect(await kept(first.url, "$sparkplug/certificates/#")).toEqual(births);
      // Not to those who ask for everything [MQTT-4.7.2-1].
      expect(await kept(first.url, "#")).toEqual([]);
      await first.broker.stop();
      const second = await startBroker({}, undefined, folder);
      expect(await kept(second.url, `$sparkplug/certificates/${DEVICE}`)).toEqual(births.slice(0, 1));
    },
  );

  it("takes nothing else for a birth, and lets nobody write there", async () => {
    for (const topic of ["spBv1.0/g/NDATA/e", "spBv1.0/g/NBIRTH", "spBv1.0/g/NBIRTH/e/d", "x/spBv1.0/g/NBIRTH/e"])
      expect(certificateTopic(topic)).toBeUndefined();
    const { url } = await startBroker();
    const liar = await client(url);
    const closed = new Promise<void>((resolve) => liar.once("close", () => resolve()));
    liar.publish(`$sparkplug/certificates/${NODE}`, "x", { qos: 1, retain: true });
    await closed;
    expect(await kept(url, "$sparkplug/#")).toEqual([]);
  });
});
