import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";
import { root } from "../support/processes.ts";
import { pages, parsePage } from "./markdown.ts";

it("every link and picture of the docs leads somewhere", () => {
  const all = pages();
  const anchors = new Map(all.map((page) => [page.name, page.anchors]));
  const dead: string[] = [];
  for (const { page, line, target } of all.flatMap(({ links }) => links)) {
    if (/^(https?|mailto):/.test(target)) continue;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(root, file))) dead.push(`${page}:${line}: ${target} is not there`);
    else if (anchor !== undefined && anchors.get(file)?.has(anchor) === false)
      dead.push(`${page}:${line}: ${file} has no heading #${anchor}`);
  }
  expect(dead).toEqual([]);
});

it("every guide is in the table of contents", () => {
  const all = pages();
  const contents = all.find(({ name }) => name === "docs/README.md")?.links.map(({ target }) => target) ?? [];
  const guides = all
    .map(({ name }) => name)
    .filter((name) => /^docs\/[^/]+\.md$/.test(name) && name !== "docs/README.md");
  expect(guides.filter((name) => !contents.includes(name.slice("docs/".length)))).toEqual([]);
});

it("headings are anchored as they are on the web", () => {
  const { anchors } = parsePage("p.md", "## How `a` & b (c) go\n### type: mqtt\n");
  expect([...anchors]).toEqual(["how-a--b-c-go", "type-mqtt"]);
});
