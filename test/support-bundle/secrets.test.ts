import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { secretsOf } from "../../gateway/support/secrets.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
  await mkdir(join(folder, "credentials"));
  await writeFile(join(folder, "credentials", "cloud-password"), "from-systemd\n");
  await writeFile(join(folder, "file-password"), "from-file\n");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("knows the secrets that a configuration names, wherever they are kept, and not the names", async () => {
  const text = `uplinks:
  - { password: { env: PASSWORD } }
  - { password: { file: file-password } }
  - { password: { credential: cloud-password } }
  - { password: { credential: not-there } }
  - { url: "mqtts://me:in%20url@broker" }
`;
  const env = { PASSWORD: "from-env", CREDENTIALS_DIRECTORY: join(folder, "credentials") };
  const found = await secretsOf(text, folder, env);
  expect(found).toEqual(expect.arrayContaining(["from-env", "from-file", "from-systemd", "in%20url", "in url"]));
  for (const name of ["PASSWORD", "file-password", "cloud-password", "not-there"]) expect(found).not.toContain(name);
});
