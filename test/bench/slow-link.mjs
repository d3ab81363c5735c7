// Draining a backlog over bad links, into mosquitto. A round trip of 200 ms with 1 % of the packets lost (a cable to another
// network namespace, whose ends drop them at random): a window of 64 against a window of 1. And 64 kbit/s: how much of it is used.
//   --seconds N --rounds N       needs root, iptables and socat
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { mosquitto, Subscriber, throttleClass } from "./live-first.mjs";
import { freePort, launch, median, pause, root, scratch, short } from "./support.mjs";

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}
const SECONDS = option("seconds", short ? 5 : 15);
const ROUNDS = option("rounds", short ? 1 : 3);
const BACKLOG = 20_000;
const LOSS = "0.01";
/** New names for each cable: the kernel takes a namespace and its devices away some time after `ip netns del` has returned. */
let cables = 0;
const [NEAR_IP, FAR_IP, PORT] = ["198.18.8.1", "198.18.8.2", 1883];
/** A short run on a machine that does other things only notices what is broken. */
const LEAST_RATIO = short ? 5 : 10;
const LEAST_USED = short ? 0.6 : 0.8;
const WARM_UP_MS = 3000;

function missing() {
  if (process.getuid?.() !== 0) return "it takes root to lose packets";
  const tools = { ip: "iproute2", iptables: "iptables", socat: "socat", mosquitto: "mosquitto" };
  for (const [tool, name] of Object.entries(tools)) {
    if (!["/usr/sbin", "/usr/bin", "/sbin"].some((folder) => existsSync(join(folder, tool))))
      return `${name} is not installed`;
  }
  return undefined;
}

const run1 = (...words) => execFileSync(words[0], words.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
const lossy = (device) => [
  "INPUT",
  "-i",
  device,
  "-m",
  "statistic",
  "--mode",
  "random",
  "--probability",
  LOSS,
  "-j",
  "DROP",
];

/** A cable that loses packets both ways; at its far end a port that leads back here, to `port` on loopback. */
async function lossyCable(folder, port) {
  const name = `${process.pid % 100_000}c${cables++}`;
  const [NEAR, FAR, SPACE] = [`mrn${name}`, `mrf${name}`, `mrs${name}`];
  const within = (...words) => run1("ip", "netns", "exec", SPACE, ...words);
  const socket = join(folder, "far.sock");
  const relay = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  }).listen(socket);
  run1("ip", "netns", "add", SPACE);
  let door;
  const end = async () => {
    await door?.stop();
    relay.close();
    try {
      run1("iptables", "-D", ...lossy(NEAR));
    } catch {}
    try {
      run1("ip", "link", "del", NEAR);
    } catch {}
    run1("ip", "netns", "del", SPACE);
  };
  try {
    run1("ip", "link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", SPACE);
    run1("ip", "addr", "add", `${NEAR_IP}/30`, "dev", NEAR);
    run1("ip", "link", "set", NEAR, "up");
    run1("ip", "-n", SPACE, "addr", "add", `${FAR_IP}/30`, "dev", FAR);
    run1("ip", "-n", SPACE, "link", "set", FAR, "up");
    run1("iptables", "-A", ...lossy(NEAR));
    within("iptables", "-A", ...lossy(FAR));
    const listen = `TCP-LISTEN:${PORT},fork,reuseaddr,nodelay`;
    door = launch("ip", ["netns", "exec", SPACE, "socat", listen, `UNIX-CONNECT:${socket}`]);
    for (let tries = 0; tries < 100; tries++) {
      if (String(execFileSync("ip", ["netns", "exec", SPACE, "ss", "-ltn"])).includes(`:${PORT}`)) break;
      await pause(20);
    }
  } catch (error) {
    await end();
    throw error;
  }
  /** Packets that were lost on the way here, and in the other direction. */
  const lost = () => {
    const list = ["iptables", "-L", "INPUT", "-v", "-n", "-x"];
    const counts = [list, ["ip", "netns", "exec", SPACE, ...list]].map(([command, ...words]) => {
      const lines = execFileSync(command, words, { encoding: "utf8" }).split("\n");
      return Number(
        lines
          .find((line) => line.includes("statistic"))
          ?.trim()
          .split(/\s+/)[0] ?? 0,
      );
    });
    return counts[0] + counts[1];
  };
  return { end, lost };
}

/** Messages a second that arrive, and the part of the link that is in use. */
async function drained(Throttle, link, window, overCable) {
  const home = scratch("slow-link");
  const port = await freePort();
  const server = await mosquitto(home.path, port);
  const subscriber = new Subscriber();
  await subscriber.connect(port);
  const throttle = await new Throttle({ ...link, port }).listen();
  const cable = overCable ? await lossyCable(home.path, throttle.port) : undefined;
  const place = overCable ? [FAR_IP, PORT] : ["127.0.0.1", throttle.port];
  const args = [...place, window, BACKLOG].map(String);
  const gateway = launch(process.execPath, [join(root, "test/bench/slow-link-side.mjs"), ...args]);
  try {
    await gateway.line(/^draining/);
    await pause(WARM_UP_MS);
    subscriber.reset();
    const [before, begun] = [throttle.carried, performance.now()];
    await pause(SECONDS * 1000);
    const seconds = (performance.now() - begun) / 1000;
    const used = ((throttle.carried - before) * 8) / seconds / link.bitsPerSecond;
    return { rate: subscriber.count / seconds, used, lost: cable?.lost() ?? 0 };
  } finally {
    await gateway.stop();
    subscriber.close();
    await throttle.close();
    await cable?.end();
    await server.stop();
    home.remove();
  }
}

export async function run() {
  const why = missing();
  if (why !== undefined) {
    console.log(`skipped: ${why}`);
    return "skipped";
  }
  const built = scratch("throttle");
  const ratios = [];
  const used = [];
  try {
    const Throttle = await throttleClass(built.path);
    const long = { bitsPerSecond: 20_000_000, roundTripMs: 200, queueBytes: 256 * 1024 };
    const narrow = { bitsPerSecond: 64_000, roundTripMs: 200, queueBytes: 8 * 1024 };
    for (let round = 0; round < ROUNDS; round++) {
      const one = await drained(Throttle, long, 1, true);
      const many = await drained(Throttle, long, 64, true);
      const slow = await drained(Throttle, narrow, 64, false);
      ratios.push(many.rate / one.rate);
      used.push(slow.used);
      console.log(
        `round ${round + 1}: 200 ms and 1 % loss: window 64 ${many.rate.toFixed(1)} msg/s, window 1 ${one.rate.toFixed(1)} msg/s ` +
          `(${many.lost} and ${one.lost} packets lost); ` +
          `64 kbit/s: ${slow.rate.toFixed(1)} msg/s, ${(100 * slow.used).toFixed(1)} % of the link`,
      );
    }
  } finally {
    built.remove();
  }
  const [ratio, share] = [median(ratios), median(used)];
  console.log(`slow link, 200 ms and 1 % loss: window 64 against 1: ratio ${ratio.toFixed(1)} (bound ${LEAST_RATIO})`);
  console.log(`slow link, 64 kbit/s: ${(100 * share).toFixed(1)} % of the link used (bound ${100 * LEAST_USED} %)`);
  if (ratio < LEAST_RATIO) throw new Error(`a window of 64 brings only ${ratio.toFixed(1)}`);
  if (share < LEAST_USED) throw new Error(`only ${(100 * share).toFixed(1)} % of 64 kbit/s are used`);
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
