// Everything of a release into out/: the packages, the npm package, the bill of materials, the licences, and their checksums.
//   npm run package:release [-- --only-sums]
// MILLRACE_SIGNING_KEY_FILE names an Ed25519 key (PEM, PKCS 8) that signs the checksums; MILLRACE_SIGNING_KEY is its text.
import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { argv, env, exit, stderr, stdout } from "node:process";
import { parseArgs } from "node:util";
import { buildDeb } from "./deb.mjs";
import { forbidden, licenceTexts } from "./licences.mjs";
import { sbomOf } from "./sbom.mjs";
import { architectures, build, root, versionOf } from "./tree.mjs";

const SUMS = "SHA256SUMS";
const own = new Set([SUMS, `${SUMS}.sig`, "millrace-release.pub"]);

function keyFromEnvironment() {
  const text = env.MILLRACE_SIGNING_KEY_FILE ? readFileSync(env.MILLRACE_SIGNING_KEY_FILE) : env.MILLRACE_SIGNING_KEY;
  if (!text) return;
  const key = createPrivateKey(text);
  if (key.asymmetricKeyType !== "ed25519")
    throw new Error(`the signing key is ${key.asymmetricKeyType}, not ed25519: openssl genpkey -algorithm ed25519`);
  return key;
}

/** Writes the sums of all files of `out`, and signs them where there is a key. What it says about it. */
export function writeSums(out, key) {
  for (const name of own) rmSync(join(out, name), { force: true });
  const lines = readdirSync(out)
    .sort()
    .map(
      (name) =>
        `${createHash("sha256")
          .update(readFileSync(join(out, name)))
          .digest("hex")}  ${name}\n`,
    );
  const sums = Buffer.from(lines.join(""));
  writeFileSync(join(out, SUMS), sums);
  if (key === undefined)
    return `${SUMS} of ${lines.length} files, NOT SIGNED: neither MILLRACE_SIGNING_KEY_FILE nor MILLRACE_SIGNING_KEY is set`;
  const publicKey = createPublicKey(key);
  writeFileSync(join(out, `${SUMS}.sig`), sign(null, sums, key));
  writeFileSync(join(out, "millrace-release.pub"), publicKey.export({ type: "spki", format: "pem" }));
  const mark = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
  return `${SUMS} of ${lines.length} files, signed; SHA-256 of the public key: ${mark}`;
}

function makeFiles(out) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const version = versionOf(root);
  build(root);
  for (const arch of Object.keys(architectures)) buildDeb({ arch, version, out });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", out], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  writeFileSync(join(out, `millrace_${version}.cdx.json`), `${JSON.stringify(sbomOf(root, version), null, 2)}\n`);
  writeFileSync(join(out, "THIRD-PARTY-LICENSES"), licenceTexts(root, join(root, "node_modules")));
}

const { values } = parseArgs({ options: { "only-sums": { type: "boolean" }, out: { type: "string" } } });
const out = resolve(values.out ?? join(root, "out"));
try {
  const key = keyFromEnvironment();
  const bad = forbidden(root);
  if (bad.length > 0) throw new Error(`licences that may not be shipped:\n  ${bad.join("\n  ")}`);
  if (!values["only-sums"]) makeFiles(out);
  stdout.write(`${writeSums(out, key)}\n`);
} catch (e) {
  stderr.write(`${argv[1]}: ${e instanceof Error ? e.message : e}\n`);
  exit(1);
}
