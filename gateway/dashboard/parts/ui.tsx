import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, textOf } from "../api.ts";
import { t, word } from "../settings.ts";

const GOOD = new Set(["connected", "online", "good", "ok", "done", "running", "synced", "open"]);
const BAD = new Set(["down", "offline", "bad", "failed", "error", "refused", "broken", "disconnected"]);

/** A state as a word with a dot; never by colour alone. */
export function Pill({ state, text }: { state: string; text?: string }): JSX.Element {
  const kind = GOOD.has(state) ? "good" : BAD.has(state) ? "bad" : "warn";
  return <span class={`pill ${kind}`}>{text ?? word(state)}</span>;
}

export function Card({
  title,
  children,
  action,
  wide,
}: {
  title: string;
  children: ComponentChildren;
  action?: ComponentChildren;
  wide?: boolean;
}): JSX.Element {
  return (
    <section class={wide ? "card wide" : "card"}>
      <div class="card-head">
        <h2>{title}</h2>
        {action}
      </div>
      {children}
    </section>
  );
}

/** A number that matters, with what it is. */
export function Figure({
  label,
  value,
  note,
  mark,
}: {
  label: string;
  value: string;
  note?: string;
  /** Which line of a drawing it belongs to. */
  mark?: "first" | "second";
}): JSX.Element {
  return (
    <div class={mark === undefined ? "figure" : `figure mark ${mark}`}>
      <dt>{label}</dt>
      <dd>
        <strong>{value}</strong>
        {note !== undefined && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}

export interface Column<R> {
  readonly title: string;
  readonly cell: (row: R) => ComponentChildren;
  readonly number?: boolean;
}

/** A table that scrolls sideways by itself on a narrow screen. The first column names the row. */
export function Table<R>({
  label,
  columns,
  rows,
  keyOf,
  empty,
}: {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  keyOf: (row: R) => string;
  empty: string;
}): JSX.Element {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map(({ title, number }) => (
              <th key={title} scope="col" class={number ? "number" : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, cell, number }, index) =>
                index === 0 ? (
                  <th key={title} scope="row">
                    {cell(row)}
                  </th>
                ) : (
                  <td key={title} class={number ? "number" : undefined}>
                    {cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function Problem({ error }: { error: unknown }): JSX.Element | null {
  if (error === undefined) return null;
  const text = error instanceof ApiError && error.status === 404 ? t("There is no such thing.") : textOf(error);
  return (
    <p class="problem" role="alert">
      {text}
    </p>
  );
}

export function Loading(): JSX.Element {
  return (
    <p class="empty" role="status">
      {t("Loading …")}
    </p>
  );
}

/** What `load` gives, again each `everyMs`; the last good answer stays when one fails. */
export function usePolled<A>(
  load: (signal: AbortSignal) => Promise<A>,
  everyMs: number,
  key: string,
): { data: A | undefined; error: unknown; again: () => void } {
  const [state, setState] = useState<{ key: string; data: A | undefined; error: unknown }>({
    key,
    data: undefined,
    error: undefined,
  });
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async () => {
      try {
        const data = await latest.current(gone.signal);
        if (!gone.signal.aborted) setState({ key, data, error: undefined });
      } catch (error) {
        if (gone.signal.aborted) return;
        setState((before) => ({ key, data: before.key === key ? before.data : undefined, error }));
      }
      if (!gone.signal.aborted && everyMs > 0) timer = setTimeout(() => void run(), everyMs);
    };
    void run();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, round]);
  const fits = state.key === key;
  return {
    data: fits ? state.data : undefined,
    error: fits ? state.error : undefined,
    again: () => setRound((n) => n + 1),
  };
}
