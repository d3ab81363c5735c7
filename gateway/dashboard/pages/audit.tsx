import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type AuditReport, type AuditView, download, get } from "../api.ts";
import { moment, number } from "../format.ts";
import { Card, Pill, Problem, Table } from "../parts/ui.tsx";
import { t } from "../settings.ts";

const PAGE = 100;

/** Who did what, the newest first. */
export function AuditPage(): JSX.Element {
  const [entries, setEntries] = useState<AuditView["entries"]>([]);
  const [whole, setWhole] = useState(false);
  const [told, setTold] = useState("");
  const [error, setError] = useState<unknown>();
  const attempt = async (run: () => Promise<void>) => {
    setError(undefined);
    try {
      await run();
    } catch (problem) {
      setError(problem);
    }
  };
  const older = (before: number | undefined) =>
    attempt(async () => {
      const query = before === undefined ? "" : `&before=${before}`;
      const { entries: found } = await get<AuditView>(`/audit?limit=${PAGE}${query}`);
      setEntries((known) => (before === undefined ? found : [...known, ...found]));
      setWhole(found.length < PAGE);
    });
  const verify = () =>
    attempt(async () => {
      const { entries: count, faults, more } = await get<AuditReport>("/audit/verify");
      const [first] = faults;
      setTold(
        first === undefined
          ? t("The chain holds: {n} entries.", { n: number(count) })
          : t("The chain is broken at {place} ({n} faults): {what}", {
              place: `${first.file}${first.line === undefined ? "" : `:${first.line}`}`,
              n: number(faults.length + more),
              what: first.what,
            }),
      );
    });
  useEffect(() => {
    void older(undefined);
  }, []);
  return (
    <Card
      title={t("Who did what")}
      wide
      action={
        <div class="tools">
          <button type="button" onClick={() => void verify()}>
            {t("Verify the chain")}
          </button>
          <button type="button" onClick={() => void attempt(() => download("/audit/export", "audit.ndjson"))}>
            {t("Export")}
          </button>
        </div>
      }
    >
      <p role="status" class="told">
        {told}
      </p>
      <Problem error={error} />
      <Table
        label={t("Who did what")}
        columns={[
          { title: t("No."), cell: ({ seq }) => number(seq) },
          { title: t("Time"), cell: ({ time }) => moment(Date.parse(time)) },
          { title: t("Who"), cell: ({ actor, address }) => `${actor}${address === undefined ? "" : ` (${address})`}` },
          { title: t("What"), cell: ({ action }) => action },
          { title: t("On what"), cell: ({ target }) => target },
          { title: t("Outcome"), cell: ({ outcome }) => <Pill state={outcome} /> },
          { title: t("Detail"), cell: ({ detail }) => <span class="detail">{detail}</span> },
        ]}
        rows={entries}
        keyOf={({ seq }) => String(seq)}
        empty={t("None.")}
      />
      {!whole && entries.length > 0 && (
        <button type="button" onClick={() => void older(entries.at(-1)?.seq)}>
          {t("Older")}
        </button>
      )}
    </Card>
  );
}
