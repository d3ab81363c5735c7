import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Accounts, BusyError } from "../../gateway/accounts/accounts.ts";
import { accountsPath } from "../../gateway/accounts/file.ts";
import { Lockout } from "../../gateway/accounts/lockout.ts";
import { hashPassword, isPassword, passwordFault, SCRYPT } from "../../gateway/accounts/password.ts";
import { runUser } from "../../gateway/cli/user.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import { testIo } from "../cli/io.ts";

const CHEAP = { N: 16, r: 1, p: 1 };
const GOOD = "a long enough one";
let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "millrace-accounts-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function accounts(onOutside?: (changes: readonly string[]) => void, now = () => Date.now()): Accounts {
  return new Accounts({ dataDir, now, cost: CHEAP, ...(onOutside && { onOutside }) });
}

describe("passwords", () => {
  it("are kept as scrypt with 32 MiB, salted, the parameters with the hash", async () => {
    const [one, two] = [await hashPassword(GOOD), await hashPassword(GOOD)];
    expect(one).toMatch(/^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    expect(one).not.toBe(two);
    expect(128 * SCRYPT.N * SCRYPT.r).toBe(32 * 1024 * 1024);
    expect(await isPassword(GOOD, one)).toBe(true);
    expect(await isPassword(`${GOOD} `, one)).toBe(false);
  });

  it("are right however their letters are put together (NFKC)", async () => {
    expect(await isPassword("Gru\u0308ne Wiese im Mai", await hashPassword("Grüne Wiese im Mai", CHEAP))).toBe(true);
  });

  it.each(["", "plain", "scrypt$1$8$1$x$y", `scrypt$99999999$99$99$${"a".repeat(22)}$${"b".repeat(43)}`])(
    "no password is right for the hash %s, and none of it costs memory",
    async (stored) => expect(await isPassword("", stored)).toBe(false),
  );

  it.each([
    ["short", /at least 12/],
    ["é".repeat(200), /at most 256/],
    ["Anna likes bread", /name of the user/],
    ["abababababab", /same few/],
    ["Password1234", /tried first/],
  ])("%s is refused", (password, why) => expect(passwordFault(password, "anna")).toMatch(why));
});

describe("Lockout", () => {
  it("knows a host of IPv6 by its /64, and IPv4 in IPv6 as IPv4", () => {
    const lockout = new Lockout(() => 0);
    for (let n = 0; n < 5; n++) lockout.failed("anna", `2001:db8:1:2::${n}`);
    expect(lockout.lockedMs("anna", "2001:0db8:1:2:ffff::1".replace("0db8", "db8"))).toBe(30_000);
    expect(lockout.lockedMs("anna", "2001:db8:1:3::1")).toBe(0);
    for (let n = 0; n < 5; n++) lockout.failed("ben", "::ffff:192.0.2.1");
    expect(lockout.lockedMs("BEN", "192.0.2.1")).toBe(30_000);
  });

  it("locks an address that tries many names, and forgets after an hour of quiet", () => {
    let now = 0;
    const lockout = new Lockout(() => now);
    for (let n = 0; n < 30; n++) lockout.failed(`user-${n}`, "192.0.2.1");
    expect(lockout.lockedMs("somebody", "192.0.2.1")).toBe(30_000);
    expect(lockout.lockedMs("somebody", "192.0.2.2")).toBe(0);
    now += 3_600_001;
    expect(lockout.failed("user-1", "192.0.2.1")).toBe(0);
  });

  it("holds 10,000 of them, and does not forget who is locked for the sake of others", () => {
    const lockout = new Lockout(() => 0);
    for (let n = 0; n < 5; n++) lockout.failed("anna", "127.0.0.1");
    for (let n = 0; n < 20_000; n++) lockout.failed(`user-${n}`, "127.0.0.1");
    expect(lockout.lockedMs("anna", "127.0.0.1")).toBe(30_000);
  });
});

describe("the accounts file", () => {
  it("is for the gateway only, and whole at any time", async () => {
    const one = accounts();
    await one.addFirst("anna", GOOD);
    await Promise.all([1, 2, 3, 4, 5].map((n) => one.add(`user-${n}`, "viewer", GOOD)));
    const path = accountsPath(dataDir);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await readdir(join(dataDir, "state"))).toEqual(["accounts.json"]);
    expect(JSON.parse(readFileSync(path, "utf8")).users).toHaveLength(6);
    expect(readFileSync(path, "utf8")).not.toContain(GOOD);
  });

  it.runIf(userInfo().uid === 0)("written by root belongs to whom the folder belongs to", async () => {
    mkdirSync(join(dataDir, "state"));
    chownSync(join(dataDir, "state"), 12_345, 12_345);
    await accounts().addFirst("anna", GOOD);
    expect(statSync(accountsPath(dataDir)).uid).toBe(12_345);
  });

  it("that is damaged lets nobody in, and is not the same as none", async () => {
    await accounts().addFirst("anna", GOOD);
    for (const text of ["{", "{}", '{"version":1,"users":[{}],"tokens":[]}', ""]) {
      writeFileSync(accountsPath(dataDir), text);
      const one = accounts();
      await expect(one.exist()).rejects.toThrow(ConfigError);
      await expect(one.check("anna", GOOD)).rejects.toThrow(/damaged/);
      await expect(one.add("eve", "admin", GOOD)).rejects.toThrow(ConfigError);
    }
  });

  it("changed by the command line counts at once, and is told", async () => {
    const seen: string[] = [];
    let now = 0;
    const running = accounts(
      (changes) => seen.push(...changes),
      () => now,
    );
    await running.addFirst("anna", GOOD);
    const other = accounts();
    await other.add("ben", "viewer", GOOD);
    await other.setPassword("anna", "another long enough one");
    now += 5_000;
    expect(await running.check("anna", GOOD)).toBeUndefined();
    expect((await running.user("ben"))?.role).toBe("viewer");
    await running.setRole("ben", "operator");
    await other.remove("ben");
    now += 5_000;
    expect(await running.user("ben")).toBeUndefined();
    expect(seen).toEqual(["user anna has another password", "user ben added (viewer)", "user ben removed"]);
  });

  it("always has an admin, while it has anybody", async () => {
    const one = accounts();
    await one.addFirst("anna", GOOD);
    await one.add("ben", "engineer", GOOD);
    await expect(one.remove("anna")).rejects.toThrow("there would be no admin any more");
    await expect(one.setRole("anna", "viewer")).rejects.toThrow("no admin");
    await expect(one.addFirst("eve", GOOD)).rejects.toThrow("already");
    await expect(one.add("ben", "admin", GOOD)).rejects.toThrow("already");
    await expect(one.add("../../etc", "viewer", GOOD)).rejects.toThrow("a name has");
  });

  it("tries two passwords at once, lets some wait, and says no to the rest", async () => {
    const one = accounts();
    await one.addFirst("anna", GOOD);
    const answers = await Promise.allSettled(Array.from({ length: 60 }, () => one.check("anna", GOOD)));
    const busy = answers.filter((each) => each.status === "rejected" && each.reason instanceof BusyError);
    expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(18);
    expect(busy).toHaveLength(42);
    expect((await one.check("anna", GOOD))?.name).toBe("anna");
  });

  it("has tokens that expire, by their hash only", async () => {
    let now = 1000;
    const one = accounts(undefined, () => now);
    const { text, token } = await one.addToken("scada", ["read"], "anna", 60_000);
    expect(await one.tokenOf(text)).toEqual(token);
    expect(await one.tokenOf(`${text.slice(0, -1)}_`)).toBeUndefined();
    expect(readFileSync(accountsPath(dataDir), "utf8")).not.toContain(text.slice(16));
    now += 60_001;
    expect(await one.tokenOf(text)).toBeUndefined();
  });
});

describe("millrace user", () => {
  it("adds, lists, changes and removes on the data folder", async () => {
    const word = join(dataDir, "word");
    writeFileSync(word, `${GOOD}\nsecond line\n`);
    const run = async (...args: string[]) => {
      const io = testIo();
      const code = await runUser([...args, "--data", dataDir], io);
      return [code, io.stdout() || io.stderr()];
    };
    expect(await run("list")).toEqual([0, "no users: the gateway prints a setup token when it starts\n"]);
    expect(await run("add", "anna", "--role", "admin", "--password-file", word)).toEqual([
      0,
      "user anna added as admin\n",
    ]);
    expect(await run("add", "ben", "--role", "viewer", "--password-file", word)).toEqual([
      0,
      "user ben added as viewer\n",
    ]);
    expect(await run("role", "ben", "--role", "engineer")).toEqual([0, "user ben is engineer now\n"]);
    expect((await run("list"))[1]).toMatch(/^anna {2}admin {5}changed .*\nben {3}engineer {2}changed /);
    expect(await run("remove", "anna")).toEqual([
      78,
      "millrace user: there would be no admin any more; make somebody else one first\n",
    ]);
    expect((await accounts().check("anna", GOOD))?.role).toBe("admin");
    writeFileSync(word, "another long enough one\n");
    expect(await run("passwd", "anna", "--password-file", word)).toEqual([0, "user anna has a new password\n"]);
    expect(await accounts().check("anna", GOOD)).toBeUndefined();
    expect((await run("passwd", "nobody", "--password-file", word))[0]).toBe(78);
    expect((await run("add", "x", "secret-on-the-command-line"))[0]).toBe(64);
    expect((await run("add", "x", "--role", "king"))[0]).toBe(64);
    expect((await run("add", "x", "--role", "viewer"))[1]).toContain("--password-file");
  });

  it("takes the password from stdin where that is no terminal, its first line", async () => {
    const given = (text: string) => testIo({ input: (most) => Promise.resolve(text.slice(0, most)) });
    const args = ["--role", "admin", "--data", dataDir];
    expect(await runUser(["add", "anna", ...args], given(`${GOOD}\r\nsecond line\n`))).toBe(0);
    expect((await accounts().check("anna", GOOD))?.role).toBe("admin");
    expect(await runUser(["passwd", "anna", "--data", dataDir], given("another long enough one"))).toBe(0);
    expect(await accounts().check("anna", "another long enough one")).toBeDefined();
    const empty = given("");
    expect(await runUser(["add", "ben", ...args], empty)).toBe(64);
    expect(empty.stderr()).toContain("no password in stdin");
    const short = given("short\n");
    expect(await runUser(["add", "ben", ...args], short)).toBe(78);
    expect(short.stderr()).toContain("at least 12 characters");
  });

  it("asks for the password twice, unseen", async () => {
    const answers = [GOOD, GOOD, GOOD, "something else"];
    const secretTo = vi.fn(() => Promise.resolve(answers.shift() ?? ""));
    const args = ["--role", "admin", "--data", dataDir];
    expect(await runUser(["add", "anna", ...args], testIo({ secretTo }))).toBe(0);
    const io = testIo({ secretTo });
    expect(await runUser(["add", "ben", ...args], io)).toBe(78);
    expect(io.stderr()).toContain("not the same");
  });

  it.runIf(userInfo().uid !== 0)("says so where the folder is not open to it", async () => {
    mkdirSync(join(dataDir, "state"));
    chmodSync(join(dataDir, "state"), 0o500);
    const word = join(dataDir, "word");
    writeFileSync(word, GOOD);
    const args = ["add", "anna", "--role", "admin", "--password-file", word, "--data", dataDir];
    expect(await runUser(args, testIo())).toBe(74);
  });
});
