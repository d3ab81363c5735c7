// `npm start` and `npm test`: makes the clone ready, then runs one program in the foreground and ends as it ends.
//   node scripts/run.mjs millrace demo      the gateway's own program
//   node scripts/run.mjs vitest run         a program of node_modules
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ready } from "./ready.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bins = {
  millrace: "dist/gateway/main.js",
  vitest: "node_modules/vitest/vitest.mjs",
};

ready();
const [name, ...args] = process.argv.slice(2);
const program = name.endsWith(".mjs") ? name : bins[name];
const child = spawn(process.execPath, [join(root, program), ...args], {
  stdio: "inherit",
  // Synchronous writes to the card and serial ports share libuv's pool; four threads let one slow disk stall a line.
  env: { UV_THREADPOOL_SIZE: "16", ...process.env },
});
// The terminal signals the whole group: the child ends itself, and this waits for it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => signal === "SIGINT" || child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
