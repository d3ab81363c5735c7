// A process to be hurt: keeps numbered plans and retained states for a session, settles some, and writes down each promise
// it was given in a file beside the store, one system call a line, before it does anything else.
//
//   a <plan>   the plan was admitted      s <plan>   it is settled next      r <state>   the retained state was admitted
import { openSync, writeSync } from "node:fs";
import { argv, exit, pid, stdout } from "node:process";
import { SessionPersistence } from "../../../dist/gateway/broker/persistence.js";
import { SessionJournal } from "../../../dist/gateway/broker/session-journal.js";
import { SessionKeeper } from "../../../dist/gateway/broker/session-keeper.js";
import { SessionStore } from "../../../dist/gateway/broker/session-store.js";
import { brokerOptions } from "../../../dist/gateway/core/options/broker.js";

const { dataDir, report, plans, first, bytes } = JSON.parse(argv[2] ?? "{}");
const file = openSync(report, "a");
const say = (text) => writeSync(file, `${text}\n`);
const log = { debug() {}, info() {}, warn() {}, error() {} };
const { sessions, retained } = brokerOptions.parse({ sessions: { maxMessages: 60000, maxBytes: "64MiB" } });
const store = new SessionStore(sessions, retained);
const wallMs = () => 1e12;
const monoMs = () => performance.now();
const journal = new SessionJournal({ folder: dataDir, store, syncMs: 20, wallMs, monoMs, log });
const keeper = new SessionKeeper({ store, journal, wallMs, onDropped() {}, onForgotten() {} });
const persistence = new SessionPersistence(
  keeper,
  () => {},
  () => {},
);
const line = { id: "line", clean: false };

stdout.write(`pid ${pid}\n`);
await journal.open();
await persistence.addSubscriptions(line, [{ topic: "plans", qos: 2 }]);
const publish = (topic, text, retain) => {
  const payload = Buffer.from(`${text} ${"x".repeat(bytes)}`);
  return keeper.admit(undefined, { cmd: "publish", topic, payload, qos: 1, retain });
};
for (let n = first; n < first + plans; n += 3) {
  const admitted = [n, n + 1, n + 2].map((plan) => publish("plans", plan, false).then(() => say(`a ${plan}`)));
  if (n % 4 === 0) await publish("state", n, true).then(() => say(`r ${n}`));
  await Promise.all(admitted);
  // A third of them stays.
  for (const owed of [...store.open("line").owed()]) {
    const plan = Number.parseInt(String(owed.message.payload), 10);
    if (plan % 3 === 0) continue;
    say(`s ${plan}`);
    await persistence.outgoingClearMessageId(line, { cmd: "puback", messageId: owed.packetId });
  }
}
stdout.write("done\n");
// What was written without fsync stays so.
exit(0);
