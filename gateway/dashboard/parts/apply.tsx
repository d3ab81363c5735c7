import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type ConfigPlan, type PendingView, send } from "../api.ts";
import { pending, told } from "../pending.ts";
import { t, word } from "../settings.ts";
import { useStore } from "../store.ts";
import { Card, Problem, Table } from "./ui.tsx";

const WINDOWS = [30, 60, 120, 300, 900];

/** Applies a candidate on probation. `base` is the hash of the file that it was made from. */
export function Apply({ text, base, ready }: { text: string; base: string; ready: boolean }): JSX.Element {
  const [plan, setPlan] = useState<{ readonly of: string; readonly plan: ConfigPlan } | undefined>();
  const [error, setError] = useState<unknown>();
  const [note, setNote] = useState("");
  const [confirmSeconds, setSeconds] = useState(60);
  const [always, setAlways] = useState(true);
  const [busy, setBusy] = useState(false);
  const view = useStore(pending);
  const open = view !== undefined && view.state !== "none";
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const look = () =>
    run(async () => {
      const { plan: found } = await send<{ plan: ConfigPlan }>("/config/plan", { text });
      setPlan({ of: text, plan: found });
    });
  const apply = () =>
    run(async () => {
      told(await send<PendingView>("/config/apply", { text, base, note, confirmSeconds, always }));
      setPlan(undefined);
    });
  const shown = plan?.of === text ? plan.plan : undefined;
  return (
    <Card title={t("Apply it")} wide>
      <p>
        {t(
          "The file is replaced and applied at once, on probation: it goes back by itself unless you confirm it. Undelivered records stay in the queue either way.",
        )}
      </p>
      <form
        class="apply"
        onSubmit={(event) => {
          event.preventDefault();
          void apply();
        }}
      >
        <label>
          {t("Why (for the history)")}
          <input value={note} maxLength={500} onInput={({ currentTarget }) => setNote(currentTarget.value)} />
        </label>
        <label>
          {t("Time to confirm")}
          <select value={confirmSeconds} onChange={({ currentTarget }) => setSeconds(Number(currentTarget.value))}>
            {WINDOWS.map((seconds) => (
              <option key={seconds} value={seconds}>
                {seconds < 120 ? t("{n} seconds", { n: seconds }) : t("{n} minutes", { n: seconds / 60 })}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={!always}
            onChange={({ currentTarget }) => setAlways(!currentTarget.checked)}
          />
          {t("Keep it without a confirmation if all links and uplinks are well")}
        </label>
        <div class="tools">
          <button type="button" disabled={busy || !ready} onClick={() => void look()}>
            {t("What restarts?")}
          </button>
          <button type="submit" class="main" disabled={busy || !ready || open}>
            {t("Apply")}
          </button>
        </div>
      </form>
      <Problem error={error} />
      {shown && (
        <>
          {shown.whole && (
            <p class="warning">{t("All parts restart, within the process; local clients connect again.")}</p>
          )}
          <Table
            label={t("What restarts?")}
            columns={[
              { title: t("Part"), cell: ({ part }: ConfigPlan["steps"][number]) => part },
              { title: t("Action"), cell: ({ action }) => word(action) },
              { title: t("Reason"), cell: ({ why }) => why },
            ]}
            rows={shown.steps}
            keyOf={({ part }) => part}
            empty={t("Nothing differs from what runs.")}
          />
        </>
      )}
      {view?.last && !open && <p class="note">{ended(view.last)}</p>}
    </Card>
  );
}

function ended({ id, outcome, why }: NonNullable<PendingView["last"]>): string {
  const values = { id, why };
  return outcome === "confirmed"
    ? t("Configuration {id} stays: {why}", values)
    : t("Configuration {id} was taken back: {why}", values);
}
