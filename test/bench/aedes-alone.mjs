// The other side of the fan-in benchmark: aedes as shipped, nothing stored.  node aedes-alone.mjs <port>
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({ queueLimit: 1000 });
const server = createServer({ noDelay: true }, broker.handle);
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
