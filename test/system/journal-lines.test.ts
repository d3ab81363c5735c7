import { describe, expect, it } from "vitest";
import { isJournal, withPriority } from "../../gateway/system/journal-lines.ts";

const stdout = (fd: number) => (fd === 1 ? { dev: 9n, ino: 12_345_678_901n } : { dev: 9n, ino: 7n });

describe("whether the log goes into the journal", () => {
  it("is so when JOURNAL_STREAM names the very file", () => {
    expect(isJournal({ JOURNAL_STREAM: "9:12345678901" }, 1, stdout)).toBe(true);
    expect(isJournal({ JOURNAL_STREAM: "9:12345678901" }, 2, stdout)).toBe(false);
    expect(isJournal({ JOURNAL_STREAM: "8:12345678901" }, 1, stdout)).toBe(false);
  });

  it("is not so without the variable, nor where the file is closed", () => {
    expect(isJournal({}, 1, stdout)).toBe(false);
    expect(isJournal({ JOURNAL_STREAM: "" }, 1, stdout)).toBe(false);
    const closed = () => {
      throw new Error("EBADF");
    };
    expect(isJournal({ JOURNAL_STREAM: "9:12345678901" }, 1, closed)).toBe(false);
  });
});

it.each([
  ["debug", 7],
  ["info", 6],
  ["warn", 4],
  ["error", 3],
  ["fatal", 2],
  ["unheard-of", 6],
])("a line of level %s has priority %i in front, and is otherwise what it was", (level, priority) => {
  const line = `{"level":"${level}","time":1,"msg":"x"}\n`;
  expect(withPriority(line)).toBe(`<${priority}>${line}`);
});
