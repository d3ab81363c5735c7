import { writeSync } from "node:fs";
import { env } from "node:process";
import { describe, expect, it } from "vitest";
import { Random } from "../../../support/random.ts";
import { fuzzBare } from "./bare.ts";
import { fuzzOurs } from "./ours.ts";
import type { Tally } from "./tally.ts";
import type { WireKind } from "./wires.ts";

/** MILLRACE_FUZZ is how many answers there are in all, MILLRACE_SEED which. */
const TOTAL = Number(env["MILLRACE_FUZZ"] ?? 20_000);
const SEED = Number(env["MILLRACE_SEED"] ?? 1);
const KINDS: readonly WireKind[] = ["tcp", "udp", "tcp without ids", "rtu", "ascii"];
const EACH = Math.ceil(TOTAL / KINDS.length);

function report(who: string, kind: string, tally: Tally): void {
  const { deliveries, right, wrong, hidden, crashes } = tally;
  writeSync(
    1,
    `${who} over ${kind}: ${deliveries} answers, ${right} right, ${wrong} wrong, ${hidden} hidden, ${crashes} crashes\n`,
  );
}

describe("spoilt answers", () => {
  it.each(KINDS)(
    "over %s: no wrong value that the standard lets a client tell, no crash",
    async (kind) => {
      const tally = await fuzzOurs(kind, EACH, new Random(SEED));
      report("millrace", kind, tally);
      expect(tally).toMatchObject({ wrong: 0, crashes: 0 });
      expect(tally.right).toBeGreaterThan(EACH / 20);
    },
    3_600_000,
  );

  it.each(["tcp", "rtu"] as const)(
    "over %s modbus-serial by itself takes some",
    async (kind) => {
      const tally = await fuzzBare(kind, Math.min(EACH, 20_000), new Random(SEED));
      report("modbus-serial", kind, tally);
      // If this fails, it became better: then the ports may be simpler.
      expect(tally.wrong).toBeGreaterThan(0);
    },
    600_000,
  );
});
