import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type PendingView, send } from "../api.ts";
import { pending, secondsLeft, told, watchPending } from "../pending.ts";
import { t } from "../settings.ts";
import { useStore } from "../store.ts";
import { Problem } from "./ui.tsx";

/** Over every page while a configuration is on probation: what is not well, how long it has, and the two ways out. */
export function Probation({ mayDecide }: { mayDecide: boolean }): JSX.Element {
  const view = useStore(pending);
  useEffect(() => watchPending(), []);
  const open = view !== undefined && view.state !== "none";
  return (
    <div class="probation-place" aria-live="polite">
      {open && <Open view={view} mayDecide={mayDecide} />}
    </div>
  );
}

function Open({ view, mayDecide }: { view: PendingView; mayDecide: boolean }): JSX.Element {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const decide = async (what: "confirm" | "revert") => {
    setBusy(true);
    setError(undefined);
    try {
      told(await send<PendingView>(`/config/${what}`, {}));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class="probation" aria-label={t("Configuration on probation")}>
      <p>
        <strong>{headline(view)}</strong>
        {view.by !== undefined && view.by !== "" && <span> {t("Applied by {user}.", { user: view.by })}</span>}
        {view.note !== undefined && view.note !== "" && <q class="reason">{view.note}</q>}
      </p>
      {view.unhealthy.length > 0 && (
        <p class="ill">{t("Not well: {parts}", { parts: view.unhealthy.slice(0, 8).join(", ") })}</p>
      )}
      {view.state === "waiting" && (
        <div class="tools">
          <Countdown view={view} />
          {mayDecide && (
            <>
              <button type="button" class="main" disabled={busy} onClick={() => void decide("confirm")}>
                {t("Keep it")}
              </button>
              <button type="button" disabled={busy} onClick={() => void decide("revert")}>
                {t("Take it back")}
              </button>
            </>
          )}
        </div>
      )}
      <Problem error={error} />
    </section>
  );
}

function headline({ state, mustConfirm }: PendingView): string {
  if (state === "applying") return t("The configuration is being applied …");
  if (state === "confirming") return t("The configuration is being kept …");
  if (state === "reverting") return t("The configuration before is being applied again …");
  return mustConfirm === true
    ? t("A configuration is on probation: it goes back unless it is confirmed.")
    : t("A configuration is on probation: it goes back if something is not well.");
}

/** Each second for the eye; a screen reader hears the headline only. */
function Countdown({ view }: { view: PendingView }): JSX.Element {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="countdown" aria-hidden="true">
      {t("{n} s left", { n: secondsLeft(view) })}
    </span>
  );
}
