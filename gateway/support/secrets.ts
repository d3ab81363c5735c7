import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { isMap, isPair, isScalar, parseAllDocuments, visit } from "yaml";

const SECRET_KEY = /pass(?:word|phrase|wd)|secret|token|credential/i;
const IN_URL = /\b[a-z][a-z0-9+.-]*:\/\/([^\s/@"']+)@/gi;
const MOST_BYTES = 16 * 1024;

/**
 * The secrets that a configuration names, as they are: what stands under a key such as `password`, name and password in a URL,
 * the variables of `{ env: NAME }`, the contents of `{ file: path }` and of systemd's `{ credential: NAME }`. What cannot be read is no secret that could leak.
 */
export async function secretsOf(
  text: string,
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const found: string[] = [];
  const files: string[] = [];
  for (const [, credentials = ""] of text.matchAll(IN_URL)) {
    found.push(credentials, ...credentials.split(":").slice(1), ...decoded(credentials).split(":").slice(1));
  }
  for (const document of parseAllDocuments(text)) {
    if (!("contents" in document)) continue;
    visit(document, {
      Pair: (_, pair, path) => {
        if (!isPair(pair) || !isScalar(pair.key) || !isScalar(pair.value)) return;
        const [key, value] = [String(pair.key.value), String(pair.value.value)];
        const parent = path.at(-1);
        const isOnly = isMap(parent) && parent.items.length === 1;
        if (isOnly && key === "env") found.push(env[value] ?? "");
        else if (isOnly && key === "file") files.push(resolve(folder, value));
        else if (isOnly && key === "credential") files.push(resolve(env["CREDENTIALS_DIRECTORY"] ?? folder, value));
        else if (SECRET_KEY.test(key)) found.push(value);
      },
    });
  }
  for (const file of files) found.push(await contentOf(file));
  return found;
}

async function contentOf(path: string): Promise<string> {
  try {
    const about = await stat(path);
    return about.isFile() && about.size <= MOST_BYTES ? (await readFile(path, "utf8")).trim() : "";
  } catch {
    return "";
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
