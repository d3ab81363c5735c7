import { isPair, isScalar, parseAllDocuments, visit } from "yaml";
import { type Completion, complete } from "../config/complete.ts";
import { ConfigFaults } from "../config/faults.ts";
import { configJsonSchema } from "../config/json-schema.ts";
import { checkText } from "../config/load.ts";
import type { ConfigCheck, ConfigDiff } from "../http/api/schemas.ts";
import { lineDiff } from "./diff.ts";

/** What takes long with a large configuration; all of it can be sent to a thread. */
export type ConfigJob =
  | { readonly kind: "mask"; readonly text: string }
  | { readonly kind: "complete"; readonly text: string; readonly offset: number }
  | { readonly kind: "diff"; readonly present: string; readonly text: string }
  | {
      readonly kind: "check";
      readonly text: string;
      readonly file: string;
      readonly folder: string;
      /** Names of variables that are set. */
      readonly env: readonly string[];
    };
export type Masked = { readonly text: string; readonly masked: number };
export type ConfigDone = Masked | ConfigDiff | ConfigCheck | Completion;

let schema: Record<string, unknown> | undefined;

export async function configWork(job: ConfigJob): Promise<ConfigDone> {
  if (job.kind === "mask") return maskSecrets(job.text);
  if (job.kind === "complete") {
    schema ??= configJsonSchema();
    return complete(job.text, job.offset, schema);
  }
  if (job.kind === "diff") return lineDiff(maskSecrets(job.present).text, maskSecrets(job.text).text);
  const env = Object.fromEntries(job.env.map((name) => [name, "set"]));
  try {
    const { warnings } = await checkText(job.text, job.file, job.folder, { env });
    return { ok: true, faults: [], warnings: warnings.map(shown) };
  } catch (error) {
    if (!(error instanceof ConfigFaults)) throw error;
    return { ok: false, faults: error.faults.map(shown), warnings: [] };
  }
}

const MASK = "[secret]";
/** Not `credential` by itself: `{ credential: NAME }` names one of systemd's, as `{ env: NAME }` a variable. */
const SECRET = /pass(?:word|phrase|wd)|secret|token|credentials|.credential|credential./i;
/** Also in what is commented out, and where the text is no YAML. */
const WRITTEN =
  /((?:^|[\s{,#])["']?[\w-]*(?:pass(?:word|phrase|wd)|secret|token|credentials|[\w-]credential)s?["']?[ \t]*:[ \t]+)(?![\s{[&*|>])("(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|[^\s,}#][^,}\n]*)/gim;
const IN_URL = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;

/** The text of a configuration with what must not be seen replaced. References such as `{ env: NAME }` stay. */
export function maskSecrets(text: string): { readonly text: string; readonly masked: number } {
  const places: { from: number; to: number }[] = [];
  for (const document of parseAllDocuments(text)) {
    if (!("contents" in document)) continue;
    visit(document, {
      Pair: (_, pair) => {
        if (!isPair(pair) || !isScalar(pair.key) || !isScalar(pair.value)) return;
        const range = pair.value.range;
        if (range && SECRET.test(String(pair.key.value)) && pair.value.value !== null)
          places.push({ from: range[0], to: range[1] });
      },
    });
  }
  let left = text;
  for (const { from, to } of places.sort((a, b) => b.from - a.from)) {
    const end = left.slice(from, to).endsWith("\n") ? "\n" : "";
    left = `${left.slice(0, from)}"${MASK}"${end}${left.slice(to)}`;
  }
  let masked = places.length;
  const count =
    (by: (...parts: string[]) => string) =>
    (...parts: string[]) => {
      const next = by(...parts);
      if (next !== parts[0]) masked++;
      return next;
    };
  left = left.replaceAll(
    WRITTEN,
    count((all, head = "", value = "") => (value === `"${MASK}"` ? all : `${head}"${MASK}"`)),
  );
  left = left.replaceAll(
    IN_URL,
    count((_, head = "") => `${head}${MASK}@`),
  );
  return { text: left, masked };
}

function shown({
  file,
  line,
  column,
  path,
  message,
  usedBy,
}: ConfigFaults["faults"][number]): ConfigCheck["faults"][number] {
  return { file, line, column, path, message, ...(usedBy === undefined ? {} : { usedBy: [...usedBy] }) };
}
