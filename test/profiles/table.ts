import { join } from "node:path";
import { listProfiles, shelvesOf } from "../../gateway/config/profiles/library.ts";
import { readProfile } from "../../gateway/config/profiles/profile-file.ts";

/** The library as a Markdown table, for docs/profiles.md. */
export async function libraryTable(): Promise<string> {
  const all = await listProfiles(await shelvesOf(join(import.meta.dirname, "nowhere")));
  const rows = await Promise.all(
    all.map(async (found) => {
      const { name, vendor, model, description, sources } = await readProfile(found, found.name);
      const from = sources.map(({ document, revision, url, via }) => {
        const title = `${document}${revision === undefined ? "" : ` (${revision})`}`;
        return `${url === undefined ? title : `[${title}](${url})`}${via === undefined ? "" : `, through ${via}`}`;
      });
      return `| \`${name}\` | ${vendor} ${model}: ${description} | ${from.join("; ")} |\n`;
    }),
  );
  return `| profile | device | source |\n| --- | --- | --- |\n${rows.join("")}`;
}
