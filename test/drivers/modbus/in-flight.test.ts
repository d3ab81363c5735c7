import { afterEach, describe, expect, it } from "vitest";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { TimeoutError } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { Random } from "../../support/random.ts";
import { deviceOf, driverOf, FrameCounts, live } from "./bench.ts";
import { answerTo, ScriptedServer } from "./scripted.ts";

/** Farther apart than one read reaches. Every register holds its own address, so a value that is not the tag's address is wrong. */
const PLACES = Array.from({ length: 40 }, (_, index) => index * 200);
const DEVICE = deviceOf(
  { unit: 1 },
  Object.fromEntries(PLACES.map((at) => [`r${at}`, { address: `holding:${at}`, type: "uint16" }])),
);

let server: ScriptedServer;
let driver: ModbusDriver;
let counts: FrameCounts;

async function connected(script: ConstructorParameters<typeof ScriptedServer>[0], inFlight: number, timeout = "5s") {
  counts = new FrameCounts();
  server = new ScriptedServer(script);
  const port = await server.start();
  driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout, inFlight }, counts);
  await driver.connect(live());
}
afterEach(async () => {
  await driver.close();
  await server.stop();
});

/** Reads everything with all slots in use. @returns how many reads were right; a wrong value fails the test. */
async function readAtOnce(rounds: number): Promise<{ right: number; late: number }> {
  const requests = driver.plan(DEVICE, DEVICE.tags, {});
  const todo = Array.from({ length: rounds }, () => requests).flat();
  let right = 0;
  let late = 0;
  const work = async () => {
    for (let request = todo.pop(); request; request = todo.pop()) {
      try {
        const [sample] = await driver.read(request, live());
        expect(sample?.value).toBe(request.question.address);
        right++;
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        late++;
      }
    }
  };
  await Promise.all(Array.from({ length: driver.concurrency }, work));
  return { right, late };
}

describe("questions at once", () => {
  it.each([2, 4, 16])("%i: each gets its own answer, in whatever order they come", async (inFlight) => {
    const random = new Random(inFlight);
    const held: Buffer[] = [];
    let most = 0;
    await connected((question, socket) => {
      held.push(answerTo(question));
      most = Math.max(most, held.length);
      // As soon as as many are there as can be: then nobody waits for ever.
      if (held.length < inFlight && server.questions.length < PLACES.length * 20 - inFlight) return;
      while (held.length > 0) {
        const [answer] = held.splice(random.whole(0, held.length - 1), 1);
        if (answer) socket.write(answer);
      }
    }, inFlight);
    expect(driver.concurrency).toBe(inFlight);
    const { right } = await readAtOnce(20);
    expect(right).toBe(PLACES.length * 20);
    expect(most).toBe(inFlight);
  });

  it("loses nothing but the answers that were lost, and takes none for another", async () => {
    const random = new Random(7);
    await connected(
      (question, socket) => {
        const answer = answerTo(question);
        const fate = random.next();
        // Twice as late as anybody waits, while others are asked and answered.
        if (fate < 0.03) setTimeout(() => socket.write(answer), 120).unref();
        else if (fate < 0.06) socket.write(Buffer.concat([answer, answer]));
        else socket.write(answer);
      },
      4,
      "60ms",
    );
    const { right, late } = await readAtOnce(20);
    expect(right + late).toBe(PLACES.length * 20);
    expect(late).toBeGreaterThan(0);
    expect(counts.of("late")).toBeGreaterThan(0);
  });

  it("ends all of them when the connection is lost", async () => {
    await connected((_, socket) => {
      if (server.questions.length === 4) socket.destroy();
    }, 4);
    const requests = driver.plan(DEVICE, DEVICE.tags, {}).slice(0, 4);
    const results = await Promise.allSettled(requests.map((request) => driver.read(request, live())));
    for (const result of results) {
      expect(result.status === "rejected" && result.reason).toBeInstanceOf(NotConnectedError);
    }
  });

  it("more calls than slots wait for their turn, and leave when they are aborted", async () => {
    const asked: (() => void)[] = [];
    await connected((question, socket) => asked.push(() => socket.write(answerTo(question))), 2);
    const requests = driver.plan(DEVICE, DEVICE.tags, {}).slice(0, 4);
    const controller = new AbortController();
    const reads = requests.map((request, index) => driver.read(request, index === 2 ? controller.signal : live()));
    await expect.poll(() => asked.length).toBe(2);
    controller.abort(new Error("enough"));
    await expect(reads[2]).rejects.toThrow("enough");
    for (const answer of asked.splice(0)) answer();
    await expect.poll(() => asked.length).toBe(1);
    asked[0]?.();
    const [first, second, , fourth] = await Promise.allSettled(reads);
    expect([first, second, fourth].map((result) => result?.status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    expect(server.questions).toHaveLength(3);
  });
});
