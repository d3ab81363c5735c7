import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../settings.ts";
import { Problem } from "./ui.tsx";

/** A step that cannot be taken back, and what it does. */
export interface Step {
  readonly title: string;
  readonly text: string;
  /** On the button that does it. */
  readonly action: string;
  readonly run: () => Promise<void>;
}

/** Asks before a step is taken; what goes wrong is said here, and it can be tried again. Escape leaves it. */
export function Confirm({ step, onClose }: { step: Step; onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      // The button may be gone with its row: whoever goes by keyboard is not to be thrown to the top of the page.
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      else document.querySelector<HTMLElement>("main")?.focus();
    };
  }, []);
  const run = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await step.run();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <dialog
      ref={dialog}
      class="confirm"
      aria-labelledby="confirm-title"
      aria-describedby="confirm-text"
      onClose={onClose}
    >
      <h2 id="confirm-title">{step.title}</h2>
      <p id="confirm-text">{step.text}</p>
      <Problem error={error} />
      <div class="tools">
        <button type="button" class="danger" disabled={busy} onClick={() => void run()}>
          {step.action}
        </button>
        <button type="button" onClick={onClose}>
          {t("Keep it")}
        </button>
      </div>
    </dialog>
  );
}
