import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/processes.ts";

/** What the tests see of a page of the docs: its fenced blocks, links and headings. */
export interface Block {
  readonly page: string;
  /** Line of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** The words of HTML comments right above: `<!-- yaml: devices -->` is `yaml` with `devices`. */
  readonly marks: ReadonlyMap<string, string>;
}
export interface Link {
  readonly page: string;
  readonly line: number;
  readonly target: string;
  readonly image: boolean;
}
export interface Page {
  readonly name: string;
  readonly blocks: readonly Block[];
  readonly links: readonly Link[];
  readonly anchors: ReadonlySet<string>;
}
export interface Command {
  readonly where: string;
  /** Words behind `millrace`. */
  readonly args: readonly string[];
  readonly text: string;
  /** Why it is parsed and not run. */
  readonly parsedOnly: string | undefined;
  readonly block: Block;
}

/** README, CONTRIBUTING and everything under docs/. */
export function pages(): Page[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".md"),
  );
  return ["README.md", "CONTRIBUTING.md", ...docs.map((name) => join("docs", name)).sort()].map((name) =>
    parsePage(name, readFileSync(join(root, name), "utf8")),
  );
}

export function parsePage(name: string, text: string): Page {
  const blocks: Block[] = [];
  const links: Link[] = [];
  const anchors = new Set<string>();
  let marks = new Map<string, string>();
  let open: { indent: string; line: number; language: string; lines: string[] } | undefined;
  for (const [at, line] of text.split("\n").entries()) {
    const fence = /^( *)```(\w*)/.exec(line);
    if (open !== undefined) {
      if (fence === null) open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
      else {
        blocks.push({
          page: name,
          line: open.line,
          language: open.language,
          text: `${open.lines.join("\n")}\n`,
          marks,
        });
        marks = new Map();
        open = undefined;
      }
      continue;
    }
    if (fence !== null) {
      open = { indent: fence[1] ?? "", line: at + 1, language: fence[2] ?? "", lines: [] };
      continue;
    }
    const mark = /^ *<!-- (\w+): (.*) -->$/.exec(line);
    if (mark !== null) marks.set(mark[1] ?? "", mark[2] ?? "");
    else if (line.trim() !== "") marks = new Map();
    const heading = /^#+ (.*)$/.exec(line);
    if (heading !== null) anchors.add(anchorOf(heading[1] ?? ""));
    for (const [, bang, target] of line.replaceAll(/`[^`]*`/g, "``").matchAll(/(!?)\[[^\]]*\]\(([^)\s]+)\)/g))
      links.push({ page: name, line: at + 1, target: target ?? "", image: bang === "!" });
  }
  if (open !== undefined) throw new Error(`${name}:${open.line}: the fence does not end`);
  return { name, blocks, links, anchors };
}

/** As GitHub names the anchor of a heading. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[`*]|\[|\]\([^)]*\)/g, "")
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

/** The `millrace …` commands of all `sh` blocks. */
export function commandsOf(all: readonly Page[]): Command[] {
  return all.flatMap(({ blocks }) =>
    blocks
      .filter(({ language }) => language === "sh")
      .flatMap((block) =>
        block.text
          .replaceAll("\\\n", " ")
          .split("\n")
          .flatMap((line, at) => commandOf(block, line, block.line + 1 + at) ?? []),
      ),
  );
}

function commandOf(block: Block, line: string, at: number): Command | undefined {
  const bare = line.replace(/\s+#.*$/, "").trim();
  const found = /(?:^|[(;]\s*|&& )(?:sudo (?:-u millrace )?)?millrace (.*?)\)?$/.exec(bare);
  if (found === null) return undefined;
  const asked = (found[1] ?? "").replace(/\s*(?:[|<>&].*)$/, "");
  return {
    where: `${block.page}:${at}`,
    text: bare,
    args: wordsOf(asked),
    parsedOnly: block.marks.get("parsed"),
    block,
  };
}

function wordsOf(text: string): string[] {
  return [...text.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ""));
}
