import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { pathOf, send, type WriteView } from "../api.ts";
import { shown } from "../format.ts";
import { t } from "../settings.ts";
import type { Row } from "./tags.ts";
import { Card, Problem } from "./ui.tsx";

/** Writes one tag, within its limits; says what was read back. */
export function WriteForm({ device, row, onClose }: { device: string; row: Row; onClose: () => void }): JSX.Element {
  const [text, setText] = useState(row.type === "bool" ? String(row.value === true) : "");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [told, setTold] = useState("");
  const field = useRef<HTMLInputElement & HTMLSelectElement>(null);
  useEffect(() => field.current?.focus(), [row.tag]);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setTold("");
    setError(undefined);
    try {
      const values = { [row.tag]: typed(text, row.type) };
      const { results } = await send<WriteView>(pathOf("devices", device, "write"), { values });
      const [result] = results;
      if (!result?.ok) throw new Error(result?.reason ?? t("It was not written."));
      setTold(t("Written. Read back: {value}", { value: shown(result.after ?? null) }));
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card
      title={t("Write {tag}", { tag: row.tag })}
      wide
      action={
        <button type="button" class="quiet" onClick={onClose}>
          {t("Close")}
        </button>
      }
    >
      <form class="line" onSubmit={(event) => void submit(event)}>
        <label class="field" for="new-value">
          <span>
            {t("New value")} {limitsOf(row)}
          </span>
        </label>
        {row.type === "bool" ? (
          <select
            id="new-value"
            ref={field}
            value={text}
            onChange={({ currentTarget }) => setText(currentTarget.value)}
          >
            <option value="true">true</option>
            <option value="false">false</option>
          </select>
        ) : (
          <input
            id="new-value"
            ref={field}
            name="value"
            value={text}
            inputMode={row.type === "string" ? "text" : "decimal"}
            autoComplete="off"
            required
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        )}
        <button type="submit" class="main" disabled={busy}>
          {t("Write")}
        </button>
        <span class="note">{t("now {value}", { value: `${shown(row.value)} ${row.unit ?? ""}` })}</span>
      </form>
      <p role="status" class="told">
        {told}
      </p>
      <Problem error={error} />
    </Card>
  );
}

/** What is sent: a number beyond 2^53 stays the text that was typed. @throws Error for what is no number. */
function typed(text: string, type: string): string | number | boolean {
  if (type === "bool") return text === "true";
  if (type === "string") return text;
  const value = Number(text.trim().replace(",", "."));
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error(t("That is no number."));
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? text.trim() : value;
}

function limitsOf({ writable, unit = "" }: Row): string {
  const { min, max, maxStep } = writable ?? {};
  const range =
    min !== undefined && max !== undefined
      ? `${min} … ${max}`
      : min !== undefined
        ? `≥ ${min}`
        : max === undefined
          ? ""
          : `≤ ${max}`;
  const step = maxStep === undefined ? "" : `, ${t("at most {n} at a time", { n: maxStep })}`;
  return range === "" && step === "" ? "" : `(${range}${range === "" ? "" : ` ${unit}`}${step})`.replace(" )", ")");
}
