import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../gateway/core/errors.ts";
import { needProgram } from "./processes.ts";

/** What cannot be had here: a reason to leave a test out, not to fail it. */
export class MissingJars extends Error {}

/** With all they need, from Maven Central: `group:name:version` each. @returns the folder of the jars, kept between runs. */
export function jarsOf(name: string, artifacts: readonly string[]): string {
  const folder = join(tmpdir(), "millrace-interop", name);
  const done = join(folder, "complete");
  if (existsSync(done)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const dependencies = artifacts.map((artifact) => {
    const [group, id, version] = artifact.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version></dependency>`;
  });
  const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>millrace</groupId><artifactId>${name}</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join("\n")}</dependencies></project>`;
  writeFileSync(join(folder, "pom.xml"), pom);
  const copy = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${folder}`];
  try {
    execFileSync(needProgram("mvn", "maven"), copy, { cwd: folder, stdio: "pipe", timeout: 300_000 });
  } catch (error) {
    const needs = "needs Maven, Java 17 (apt-get install maven openjdk-17-jdk-headless) and Maven Central";
    throw new MissingJars(`${name} ${needs}: ${messageOf(error)}`);
  }
  writeFileSync(done, "");
  return folder;
}
