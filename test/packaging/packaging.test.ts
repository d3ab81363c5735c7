import { execFile } from "node:child_process";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const env = { ...process.env, SOURCE_DATE_EPOCH: "1700000000" };
const script = (name: string, args: readonly string[] = [], more: Record<string, string> = {}) =>
  run(process.execPath, [join(root, "packaging", name), ...args], { env: { ...env, ...more } });
let home = "";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-packaging-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("licences of what is shipped", () => {
  it("are all allowed", async () => {
    const { stdout } = await script("licences.mjs", ["--check"]);
    expect(stdout).toMatch(/^\d{2,} packages are shipped, 0 with a licence that is not allowed\n$/);
  });

  it("name the package that may not be shipped", async () => {
    const lock = {
      packages: {
        "": { name: "x" },
        "node_modules/fine": { version: "1.0.0", license: "(GPL-2.0 OR MIT)" },
        "node_modules/both": { version: "1.0.0", license: "MIT AND GPL-3.0" },
        "node_modules/nothing": { version: "2.0.0" },
        "node_modules/tool": { version: "3.0.0", license: "GPL-3.0", dev: true },
      },
    };
    await writeFile(join(home, "package-lock.json"), JSON.stringify(lock));
    const failed = await script("licences.mjs", ["--check", home]).catch((e: { stderr: string; code: number }) => e);
    expect(failed).toMatchObject({
      code: 1,
      stderr: "may not be shipped: both@1.0.0: MIT AND GPL-3.0\nmay not be shipped: nothing@2.0.0: no licence named\n",
    });
  });
});

const licence = z.union([
  z.strictObject({ license: z.strictObject({ id: z.string().min(1) }) }),
  z.strictObject({ expression: z.string().min(1) }),
]);
/** The part of CycloneDX 1.6 that is used, as its schema has it. */
const bill = z.strictObject({
  $schema: z.literal("http://cyclonedx.org/schema/bom-1.6.schema.json"),
  bomFormat: z.literal("CycloneDX"),
  specVersion: z.literal("1.6"),
  serialNumber: z.string().regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  version: z.literal(1),
  metadata: z.strictObject({
    timestamp: z.iso.datetime(),
    lifecycles: z.array(z.strictObject({ phase: z.enum(["design", "pre-build", "build"]) })),
    component: z.strictObject({
      type: z.literal("application"),
      "bom-ref": z.string(),
      name: z.literal("millrace"),
      version: z.string(),
      description: z.string(),
      licenses: z.array(licence),
      purl: z.string().regex(/^pkg:npm\/millrace@/),
    }),
  }),
  components: z.array(
    z.strictObject({
      type: z.literal("library"),
      "bom-ref": z.string(),
      group: z.string().startsWith("@").optional(),
      name: z.string().min(1),
      version: z.string().min(1),
      scope: z.enum(["required", "optional"]),
      hashes: z
        .array(z.strictObject({ alg: z.literal("SHA-512"), content: z.string().regex(/^[0-9a-f]{128}$/) }))
        .length(1),
      licenses: z.array(licence).min(1),
      purl: z.string().regex(/^pkg:npm\/(%40[^/@]+\/)?[^/@]+@[^@]+$/),
      properties: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
    }),
  ),
  dependencies: z.array(z.strictObject({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

describe("bill of materials", () => {
  it("is CycloneDX 1.6, has every shipped package once, and is the same each time", async () => {
    const args = ["--version", "1.2.3"];
    const [{ stdout }, again] = await Promise.all([script("sbom.mjs", args), script("sbom.mjs", args)]);
    expect(again.stdout).toBe(stdout);
    const read = bill.parse(JSON.parse(stdout));
    const refs = [read.metadata.component["bom-ref"], ...read.components.map((one) => one["bom-ref"])];
    expect(new Set(refs).size).toBe(refs.length);
    expect(read.dependencies.map((one) => one.ref)).toEqual(refs);
    const links = new Set(read.dependencies.flatMap((one) => one.dependsOn));
    // Each is there because something needs it, and nothing is needed that is not there.
    expect([...links].sort()).toEqual(refs.slice(1).sort());
    expect(read.components.map((one) => one.name)).toEqual(expect.arrayContaining(["mqtt", "classic-level", "preact"]));
    expect(read.components.some((one) => ["vitest", "typescript"].includes(one.name))).toBe(false);
  });
});

describe("checksums", () => {
  it("are signed with the key of the environment, and say when they are not", async () => {
    const out = await mkdtemp(join(home, "out-"));
    await writeFile(join(out, "a.deb"), "a");
    const args = ["--only-sums", "--out", out];
    const unset = { MILLRACE_SIGNING_KEY: "", MILLRACE_SIGNING_KEY_FILE: "" };
    const unsigned = await script("release.mjs", args, unset);
    expect(unsigned.stdout).toContain("NOT SIGNED");
    expect(existsSync(join(out, "SHA256SUMS.sig"))).toBe(false);
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const signed = await script("release.mjs", args, { ...unset, MILLRACE_SIGNING_KEY: pem });
    expect(signed.stdout).toContain("SHA256SUMS of 1 files, signed");
    const sums = await readFile(join(out, "SHA256SUMS"));
    expect(sums.toString()).toBe("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a.deb\n");
    const key = createPublicKey(await readFile(join(out, "millrace-release.pub")));
    expect(verify(null, sums, key, await readFile(join(out, "SHA256SUMS.sig")))).toBe(true);
  });
});

describe("the container file", () => {
  const text = readFileSync(join(root, "packaging/Containerfile"), "utf8");
  const copies = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) => match[1]?.split(" ") ?? []);

  it("copies what is there, and all that npm packs", () => {
    expect(copies.length).toBeGreaterThan(8);
    expect(copies.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    // Built in the image, of no use in it, or for people.
    const made = ["dist", "systemd", "docs", "SECURITY.md"];
    expect(files.filter((path: string) => !made.includes(path) && !copies.includes(path))).toEqual([]);
  });

  it("runs the program that package.json names, not as root", () => {
    const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(text).toContain(`ENTRYPOINT ["node", "/usr/lib/millrace/${bin.millrace}"]`);
    const last = text.slice(text.lastIndexOf("FROM "));
    expect(last).toMatch(/^USER millrace$/m);
    expect(last).toMatch(/^VOLUME \/var\/lib\/millrace$/m);
    expect(last).toContain("/healthz");
  });
});
