// Jars from Maven Central, once, in the folder that the interop suite uses too.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `group:name:version` each. @returns their folder; undefined where they, Java or Maven cannot be had. */
export function jars(name, artifacts) {
  const folder = join(tmpdir(), "millrace-interop", name);
  if (existsSync(join(folder, "complete"))) return folder;
  mkdirSync(folder, { recursive: true });
  const dependencies = artifacts.map((artifact) => {
    const [group, id, version] = artifact.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version></dependency>`;
  });
  writeFileSync(
    join(folder, "pom.xml"),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>millrace</groupId><artifactId>${name}</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join("\n")}</dependencies></project>`,
  );
  try {
    const copy = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${folder}`];
    execFileSync("mvn", copy, { cwd: folder, stdio: "pipe", timeout: 300_000 });
  } catch {
    return undefined;
  }
  writeFileSync(join(folder, "complete"), "");
  return folder;
}
