// Shows that every import rule and the cycle rule of biome.json fire: writes files that break them into a scratch copy
// of the layout, and expects the linter to name each of them (and to pass the ones that keep the rules).
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const biome = join(root, "node_modules", ".bin", "biome");
const parts = ["southbound", "broker", "queue", "northbound", "commands"];

/** [what is shown, path, source, the rule that must fire or undefined] */
const cases = [
  ["core imports a part", "gateway/core/a.ts", 'import { x } from "../queue/x.ts";', "noRestrictedImports"],
  ["core imports a package", "gateway/core/b.ts", 'import { x } from "pino";', "noRestrictedImports"],
  ["core imports node:", "gateway/core/c.ts", 'import { x } from "node:fs";', "noNodejsModules"],
  [
    "core imports out of options",
    "gateway/core/options/a.ts",
    'import { x } from "../../queue/x.ts";',
    "noRestrictedImports",
  ],
  [
    "core imports itself and zod",
    "gateway/core/d.ts",
    'import { x } from "./errors.ts";\nimport { z } from "zod";',
    undefined,
  ],
  ["host imports a part", "gateway/host/a.ts", 'import { x } from "../queue/x.ts";', "noRestrictedImports"],
  ["host imports core", "gateway/host/b.ts", 'import { x } from "../core/errors.ts";', "noRestrictedImports"],
  ["host imports node:", "gateway/host/c.ts", 'import { x } from "node:fs";', undefined],
  ...parts.flatMap((part) =>
    parts
      .filter((other) => other !== part)
      .map((other) => [
        `${part} imports ${other}`,
        `gateway/${part}/${other}.ts`,
        `import { x } from "../${other}/x.ts";`,
        "noRestrictedImports",
      ]),
  ),
  ...parts.flatMap((part) => [
    [
      `${part}, a folder down, imports another part`,
      `gateway/${part}/sub/deep.ts`,
      `import { x } from "../../${part === "queue" ? "broker" : "queue"}/x.ts";`,
      "noRestrictedImports",
    ],
    [
      `${part} imports gateway.ts`,
      `gateway/${part}/up.ts`,
      'import { x } from "../gateway.ts";',
      "noRestrictedImports",
    ],
    [
      `${part} imports a driver`,
      `gateway/${part}/driver.ts`,
      'import { x } from "../../drivers/modbus/x.ts";',
      "noRestrictedImports",
    ],
    [`${part} imports test`, `gateway/${part}/test.ts`, 'import { x } from "../../test/x.ts";', "noRestrictedImports"],
    [`${part} imports core`, `gateway/${part}/core.ts`, 'import { x } from "../core/errors.ts";', undefined],
  ]),
  [
    "a driver imports another driver",
    "drivers/modbus/a.ts",
    'import { x } from "../simulated/x.ts";',
    "noRestrictedImports",
  ],
  [
    "a driver imports a part",
    "drivers/serial/a.ts",
    'import { x } from "../../gateway/queue/x.ts";',
    "noRestrictedImports",
  ],
  ["a driver imports core", "drivers/simulated/a.ts", 'import { x } from "../../gateway/core/errors.ts";', undefined],
  [
    "config imports a module itself",
    "gateway/config/a.ts",
    'import { x } from "../northbound/mqtt/x.ts";',
    "noRestrictedImports",
  ],
  [
    "config imports a driver itself",
    "gateway/config/b.ts",
    'import { x } from "../../drivers/modbus/x.ts";',
    "noRestrictedImports",
  ],
  [
    "config imports the module lists",
    "gateway/config/c.ts",
    'import { x } from "../northbound/index.ts";\nimport { y } from "../../drivers/index.ts";',
    undefined,
  ],
  ["dashboard imports core", "gateway/dashboard/a.ts", 'import { x } from "../core/errors.ts";', "noRestrictedImports"],
  [
    "a page imports a part",
    "gateway/dashboard/pages/a.ts",
    'import { x } from "../../queue/x.ts";',
    "noRestrictedImports",
  ],
  [
    "dashboard imports the types of the API",
    "gateway/dashboard/b.ts",
    'import type { x } from "../http/api/schemas.ts";\nimport { y } from "./parts/y.tsx";',
    undefined,
  ],
  ["http imports a part", "gateway/http/a.ts", 'import { x } from "../queue/x.ts";', "noRestrictedImports"],
  ["cli imports a part", "gateway/cli/a.ts", 'import { x } from "../broker/x.ts";', "noRestrictedImports"],
  ["gateway.ts imports main.ts", "gateway/gateway.ts", 'import { x } from "./main.ts";', "noRestrictedImports"],
  ["a part uses the global process", "gateway/broker/p.ts", "const x = process.pid;", "noRestrictedGlobals"],
  [
    "a driver imports node:process",
    "drivers/modbus/p.ts",
    'import { pid as x } from "node:process";',
    "noRestrictedImports",
  ],
  [
    "an import cycle",
    "gateway/http/ring-a.ts",
    'import { x as y } from "./ring-b.ts";\nexport const z = y;',
    "noImportCycles",
  ],
  [
    "its other half",
    "gateway/http/ring-b.ts",
    'import { z } from "./ring-a.ts";\nexport const x = z;',
    "noImportCycles",
  ],
];

const scratch = mkdtempSync(join(tmpdir(), "millrace-lint-"));
let failed = 0;
try {
  copyFileSync(join(root, "biome.json"), join(scratch, "biome.json"));
  copyFileSync(join(root, "package.json"), join(scratch, "package.json"));
  writeFileSync(join(scratch, ".gitignore"), "node_modules/\n");
  for (const [, path, source] of cases) {
    mkdirSync(join(scratch, dirname(path)), { recursive: true });
    writeFileSync(
      join(scratch, path),
      `${source}\nexport const used = [${[..."xyz"].filter((n) => new RegExp(`(import.*\\b|as |const )${n}\\b`).test(source.replaceAll(/\w+ as /g, ""))).join(", ")}];\n`,
    );
  }
  let report = "";
  try {
    report = execFileSync(biome, ["lint", "--reporter=json", "--max-diagnostics=none", "."], {
      cwd: scratch,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 26,
    });
  } catch (error) {
    report = error.stdout;
  }
  const watched = /noRestricted|noNodejsModules|noImportCycles/;
  const found = JSON.parse(report.slice(report.indexOf("{"))).diagnostics.filter((d) => watched.test(d.category ?? ""));
  for (const [what, path, , rule] of cases) {
    const fired = found
      .filter((d) => (d.location?.path?.file ?? d.location?.path ?? "").endsWith(path))
      .map((d) => d.category.split("/").pop());
    const right = rule === undefined ? fired.length === 0 : fired.includes(rule);
    if (!right) failed += 1;
    console.log(
      `${right ? "ok  " : "FAIL"} ${what}: ${rule === undefined ? "passes" : rule}${right ? "" : ` (fired: ${fired.join(", ") || "nothing"})`}`,
    );
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`${cases.length - failed} passed, ${failed} failed`);
if (failed > 0) process.exitCode = 1;
