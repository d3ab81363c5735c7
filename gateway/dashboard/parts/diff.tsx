import type { JSX } from "preact";
import type { ConfigDiff } from "../api.ts";
import { number } from "../format.ts";
import { t } from "../settings.ts";
import { Card } from "./ui.tsx";

/** Lines around a change that are shown with it. */
const AROUND = 3;
const SIGN = { same: " ", added: "+", removed: "−" } as const;

/** What a candidate changes, with the lines around it. */
export function Diff({ diff: { added, removed, lines } }: { diff: ConfigDiff }): JSX.Element {
  const near = new Set<number>();
  for (const [index, { kind }] of lines.entries()) {
    if (kind === "same") continue;
    for (let at = index - AROUND; at <= index + AROUND; at++) near.add(at);
  }
  const shown = lines.flatMap((line, index) => (near.has(index) ? [{ ...line, index }] : []));
  return (
    <Card title={t("What it changes")} wide>
      {shown.length === 0 ? (
        <p class="empty">{t("Nothing: it is the text of the file.")}</p>
      ) : (
        <>
          <p class="note">{t("lines added: {a}, removed: {b}", { a: number(added), b: number(removed) })}</p>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
          <section class="scroll" tabIndex={0} aria-label={t("What it changes")}>
            <table class="diff">
              <thead class="unseen">
                <tr>
                  <th scope="col">{t("Line before")}</th>
                  <th scope="col">{t("Line after")}</th>
                  <th scope="col">{t("Change")}</th>
                  <th scope="col">{t("Text")}</th>
                </tr>
              </thead>
              <tbody>
                {shown.map(({ index, kind, before, after, text }) => (
                  <tr key={index} class={kind}>
                    <td class="number">{before}</td>
                    <td class="number">{after}</td>
                    <td>{SIGN[kind]}</td>
                    <td>
                      <code>{text}</code>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        </>
      )}
    </Card>
  );
}
