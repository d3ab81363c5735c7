// Both ends of the ZeroMQ benchmark besides Millrace, each a process of its own.
//   node zeromq-side.mjs router                                     a ROUTER that answers everything; prints its url
//   node zeromq-side.mjs dealer <url> <window> <messages> <bytes>   a DEALER from memory; prints messages a second, by answer
import { Dealer, Router } from "zeromq";

const [kind, url, ...numbers] = process.argv.slice(2);

async function router() {
  const socket = new Router({ linger: 0, sendHighWaterMark: 0 });
  await socket.bind("tcp://127.0.0.1:*");
  console.log(`url ${socket.lastEndpoint}`);
  for await (const [peer, number] of socket) await socket.send([peer, number, "A"]);
}

async function dealer(window, total, bytes) {
  const socket = new Dealer({ linger: 0, immediate: true, sendHighWaterMark: 0 });
  socket.connect(url);
  const payload = Buffer.alloc(bytes, "x");
  let sent = 0;
  const send = () => {
    const id = `bench/t/1a2b3c4d/${sent}`;
    const properties = { id, prev: String(sent - 1), chain: "0123456789abcdef", clock: "synced" };
    sent += 1;
    return socket.send([String(sent), "plant/line-1/scan", payload, JSON.stringify(properties)]);
  };
  // The first one waits for the connection.
  await send();
  const begun = performance.now();
  while (sent < Math.min(window, total)) await send();
  for (let answered = 0; answered < total; answered += 1) {
    await socket.receive();
    if (sent < total) await send();
  }
  console.log(`rate ${(total / (performance.now() - begun)) * 1000}`);
  socket.close();
}

await (kind === "router" ? router() : dealer(...numbers.map(Number)));
