// The bill of materials of a source tree: CycloneDX 1.6 as JSON, from its lockfile; the same from the same commit.
//   node packaging/sbom.mjs [--version V] [DIR]
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { argv, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { shipped } from "./licences.mjs";
import { epochOf, readJson, root, versionOf } from "./tree.mjs";

const purl = (name, version) => `pkg:npm/${name.replace("@", "%40")}@${version}`;

/** A scoped name is group and name, as the format has it. */
function named(name) {
  const [scope, rest] = name.startsWith("@") ? name.split("/") : [undefined, name];
  return scope === undefined ? { name } : { group: scope, name: rest };
}

function licencesOf(expression) {
  if (expression === "") return [];
  return /^[\w.-]+$/.test(expression) ? [{ license: { id: expression } }] : [{ expression }];
}

function hashOf(integrity) {
  const [algorithm, digest] = (integrity ?? "").split("-");
  if (algorithm !== "sha512" || digest === undefined) return [];
  return [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }];
}

function component(entry) {
  return {
    type: "library",
    "bom-ref": entry.path,
    ...named(entry.name),
    version: entry.version,
    scope: entry.optional ? "optional" : "required",
    hashes: hashOf(entry.integrity),
    licenses: licencesOf(entry.license),
    purl: purl(entry.name, entry.version),
    ...(entry.bundled ? { properties: [{ name: "millrace:builtInto", value: "dist/dashboard" }] } : {}),
  };
}

/** The package that Node finds from `path` under `name`; undefined where an optional one is not installed. */
function resolved(paths, path, name) {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const candidate = `${at}/node_modules/${name}`;
    if (paths.has(candidate)) return candidate;
  }
  return paths.has(`node_modules/${name}`) ? `node_modules/${name}` : undefined;
}

/** Version 5 as RFC 9562 has it, of the content: another bill has another number, the same one the same. */
function serialOf(content) {
  const bytes = createHash("sha1").update("millrace bill of materials\n").update(content).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")}`;
}

export function sbomOf(source, version = versionOf(source)) {
  const own = readJson(join(source, "package.json"));
  const entries = shipped(source);
  const paths = new Set(entries.map((entry) => entry.path));
  const ref = purl(own.name, version);
  const direct = [
    ...Object.keys({ ...own.dependencies, ...own.optionalDependencies }),
    ...entries.filter((entry) => entry.bundled).map((entry) => entry.name),
  ];
  const linksOf = (path, names) =>
    [...new Set(names.map((name) => resolved(paths, path, name)).filter((found) => found !== undefined))].sort();
  const content = {
    metadata: {
      timestamp: new Date(epochOf(source) * 1000).toISOString(),
      lifecycles: [{ phase: "build" }],
      component: {
        type: "application",
        "bom-ref": ref,
        name: own.name,
        version,
        description: own.description,
        licenses: licencesOf(own.license),
        purl: ref,
      },
    },
    components: entries.map(component),
    dependencies: [
      { ref, dependsOn: linksOf("", direct) },
      ...entries.map((entry) => ({ ref: entry.path, dependsOn: linksOf(entry.path, entry.dependencies) })),
    ],
  };
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: serialOf(JSON.stringify(content)),
    version: 1,
    ...content,
  };
}

function main() {
  const { values, positionals } = parseArgs({ options: { version: { type: "string" } }, allowPositionals: true });
  stdout.write(`${JSON.stringify(sbomOf(resolve(positionals[0] ?? root), values.version), null, 2)}\n`);
}

if (argv[1] === fileURLToPath(import.meta.url)) main();
