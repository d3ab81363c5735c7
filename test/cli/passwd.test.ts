import { describe, expect, it } from "vitest";
import { runPasswd } from "../../gateway/cli/passwd.ts";
import { testIo } from "./io.ts";

const deps = { hash: (password: string) => Promise.resolve(`hash of ${password.length}`) };

/** Somebody at a terminal, who types these one after the other. */
function typing(...answers: string[]) {
  const asked: string[] = [];
  const io = testIo({
    secretTo: (question) => {
      asked.push(question);
      return Promise.resolve(answers.shift() ?? "");
    },
  });
  return { io, asked };
}

describe("millrace passwd", () => {
  it("asks twice and prints the hash alone on stdout", async () => {
    const { io, asked } = typing("correct horse", "correct horse");
    expect(await runPasswd([], io, deps)).toBe(0);
    expect([io.stdout(), io.stderr(), asked]).toEqual(["hash of 13\n", "", ["Password: ", "Again: "]]);
  });

  it.each([
    [["correct horse", "correct hors"], "not the same"],
    [["short"], "8 characters or more"],
    [[""], "8 characters or more"],
    [["x".repeat(1025)], "more than 1024 bytes"],
    [["with\ttabulator"], "control character"],
  ])("makes nothing of %j", async (answers, message) => {
    const { io } = typing(...answers);
    expect(await runPasswd([], io, deps)).toBe(1);
    expect(io.stdout()).toBe("");
    expect(io.stderr()).toContain(message);
    for (const answer of answers.filter((one) => one !== "")) expect(io.stderr()).not.toContain(answer);
  });

  it("takes the first line of what is piped in", async () => {
    const io = testIo({ input: () => Promise.resolve("correct horse\r\nbattery\n") });
    expect(await runPasswd([], io, deps)).toBe(0);
    expect(io.stdout()).toBe("hash of 13\n");
  });

  it("says when a password is short, and takes none as an argument", async () => {
    const { io } = typing("ninechars", "ninechars");
    expect(await runPasswd([], io, deps)).toBe(0);
    expect(io.stderr()).toContain("12 characters or more are better");
    expect(await runPasswd(["secret-word"], io, deps)).toBe(64);
    expect(io.stderr()).not.toContain("secret-word");
  });
});
