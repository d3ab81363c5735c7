import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, type HistoryList, type HistoryText, pathOf } from "../api.ts";
import { moment } from "../format.ts";
import { t, word } from "../settings.ts";
import { Diff } from "./diff.tsx";
import { Card, Pill, Problem, Table } from "./ui.tsx";

type Entry = HistoryList["entries"][number];

/** The texts that the file had; one can be compared with the file, and taken into the editor. */
export function History({ list, onTake }: { list: HistoryList; onTake: (text: string) => void }): JSX.Element {
  const [shown, setShown] = useState<HistoryText | undefined>();
  const [error, setError] = useState<unknown>();
  const show = async (id: number) => {
    setError(undefined);
    try {
      setShown(await get<HistoryText>(pathOf("config", "history", String(id))));
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <>
      <Card title={t("History")} wide>
        <Table
          label={t("History")}
          columns={[
            { title: t("No."), cell: ({ id }: Entry) => id },
            { title: t("Time"), cell: ({ at }) => moment(at) },
            { title: t("Who"), cell: ({ by }) => (by === "" ? t("by hand") : by) },
            { title: t("Why"), cell: ({ note }) => note },
            { title: t("State"), cell: (entry) => <Became entry={entry} /> },
            {
              title: t("Text"),
              cell: ({ id }) => (
                <button type="button" onClick={() => void show(id)} aria-label={t("Show configuration {id}", { id })}>
                  {t("Show")}
                </button>
              ),
            },
          ]}
          rows={list.entries}
          keyOf={({ id }) => String(id)}
          empty={t("Nothing was applied here yet.")}
        />
        <Problem error={error} />
      </Card>
      {shown && (
        <>
          <Diff diff={shown.diff} />
          <p>
            <button type="button" onClick={() => onTake(shown.text)}>
              {t("Take configuration {id} into the editor", { id: shown.id })}
            </button>
          </p>
        </>
      )}
    </>
  );
}

function Became({ entry: { outcome, why } }: { entry: Entry }): JSX.Element {
  const state = outcome === "confirmed" ? "ok" : outcome === "reverted" ? "bad" : "unknown";
  return (
    <>
      <Pill state={state} text={word(outcome)} /> {why !== undefined && <span class="note">{why}</span>}
    </>
  );
}
