import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runGuess } from "../../gateway/cli/guess.ts";
import { runScan } from "../../gateway/cli/scan.ts";
import { lineTools } from "../../gateway/line-tools.ts";
import { testIo } from "../cli/io.ts";
import { freePort, needProgram, Process, ptyPair, root, scratch, until } from "../support/processes.ts";

/** `millrace scan` and `millrace guess` against pymodbus, which packs values by Python's struct. */

const UNIT = 17;
const script = join(root, "test/interop/peers/modbus-server.py");
const python = needProgram("python3", "python3-pymodbus");
const folder = scratch("tools");
const tools = lineTools();
let line: Awaited<ReturnType<typeof ptyPair>>;
beforeAll(async () => {
  line = await ptyPair(folder.path);
});
afterAll(async () => {
  await line.stop();
  folder.remove();
});

interface Tag {
  readonly at: number;
  readonly type: string;
  readonly order: string;
  readonly value: unknown;
}

async function run(command: typeof runScan, args: string[]): Promise<{ code: number; out: string }> {
  const io = testIo();
  return { code: await command([...args, "--json"], io, tools), out: io.stdout() };
}

interface Scanned {
  readonly units: { readonly unit: number; readonly objects: unknown }[];
}

async function scanned(args: string[]): Promise<Scanned["units"]> {
  const { out } = await run(runScan, [...args, "--units", "15-18", "--timeout", "300ms"]);
  const rounds: Scanned[] = out === "" ? [] : JSON.parse(out);
  return rounds.flatMap(({ units }) => units);
}

describe("pymodbus as server", () => {
  it.each(["tcp", "udp", "rtu-over-tcp", "ascii-over-tcp", "rtu", "ascii"])(
    "is found and names itself on %s",
    async (kind) => {
      const port = await freePort();
      const isSerial = kind === "rtu" || kind === "ascii";
      const peer = new Process(python, [script, kind, ...(isSerial ? [line.b] : ["127.0.0.1", String(port)])], {
        stdin: true,
      });
      try {
        await peer.line(/^ready/);
        const serial = ["--baud", "115200", "--parity", "none", "--data-bits", "8", "--stop-bits", "1"];
        const args = isSerial ? [`--${kind}`, line.a, ...serial] : [`--${kind}`, `127.0.0.1:${port}`];
        let units: Scanned["units"] = [];
        const answers = async () => {
          units = await scanned(args);
          return units.length > 0;
        };
        await until("pymodbus answers", answers, 20_000);
        expect(units).toMatchObject([
          {
            unit: UNIT,
            objects: { vendor: "Acme", product: "EM-24", revision: "2.1", productName: "Meter", model: "DIN" },
          },
        ]);
      } finally {
        await peer.stop();
      }
    },
  );

  it("has every type and order guessed from the value that it shows", async () => {
    const port = await freePort();
    const peer = new Process(python, [script, "tcp", "127.0.0.1", String(port)], { stdin: true });
    const missed: string[] = [];
    try {
      const { tags }: { tags: Tag[] } = JSON.parse(await peer.line(/^\{"tags"/));
      const place = ["--tcp", `127.0.0.1:${port}`, "--unit", String(UNIT)];
      await until(
        "pymodbus answers",
        async () => (await run(runGuess, ["holding:0", "--samples", "1", ...place])).code === 0,
        20_000,
      );
      for (const { at, type, order, value } of tags) {
        const args = [`holding:${at}`, "--samples", "2", "--interval", "1ms", `--expect=${value}`, ...place];
        const { out } = await run(runGuess, args);
        const [best]: { same: { type: string; order: string }[] }[] = JSON.parse(out).candidates;
        // How long a text field is cannot be seen where the text is shorter.
        const kind = type.replace(/\(\d+\)/, "");
        const hit = best?.same.some((same) => same.type.replace(/\(\d+\)/, "") === kind && same.order === order);
        if (!hit) missed.push(`${type} ${order} ${value}: ${JSON.stringify(best?.same)}`);
      }
      console.log(
        `guess against pymodbus: ${tags.length - missed.length} of ${tags.length} types and orders in the first place`,
      );
      expect(missed).toEqual([]);
    } finally {
      await peer.stop();
    }
  });
});
