import assert from "node:assert";
import { createRequire } from "node:module";
import { afterEach, describe, it } from "vitest";
import { keptSessions } from "./session-support.ts";
import { cleanUpAll } from "./support.ts";

/** The abstract suite that every persistence of aedes has to pass, as aedes-persistence brings it, on real files. */

interface Context {
  readonly assert: typeof assert;
  plan(count: number): void;
  diagnostic(text: string): void;
}
type Suite = (options: {
  test: (name: string, run: (context: Context) => Promise<void>) => void;
  testAsync: true;
  persistence: () => Promise<unknown>;
}) => void;

const ofAedes = createRequire(createRequire(import.meta.url).resolve("aedes"));
const suite = ofAedes("aedes-persistence/abstract.js") as Suite;

afterEach(cleanUpAll);

/** The part of node:test's context that the suite uses. A test that makes another number of assertions than planned fails. */
function contextOf(): { context: Context; verify: () => void } {
  let planned: number | undefined;
  let made = 0;
  const counted = new Proxy(assert, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        made += 1;
        return Reflect.apply(value, target, args);
      };
    },
  });
  const context: Context = {
    assert: counted,
    plan(count) {
      planned = count;
    },
    diagnostic() {},
  };
  return {
    context,
    verify() {
      if (planned !== undefined) assert.equal(made, planned, "assertions made");
    },
  };
}

describe("aedes-persistence's abstract suite", () => {
  let count = 0;
  suite({
    test: (name, run) => {
      count += 1;
      it(name, async () => {
        const { context, verify } = contextOf();
        await run(context);
        verify();
      });
    },
    testAsync: true,
    persistence: async () => (await keptSessions()).persistence,
  });
  it("is there", () => {
    assert.ok(count >= 45, `${count} tests`);
  });
});
