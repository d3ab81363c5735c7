import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { download, get, type LogsView } from "../api.ts";
import { clock, number } from "../format.ts";
import { Card, Pill, Problem } from "../parts/ui.tsx";
import { t } from "../settings.ts";

const EVERY_MS = 2_000;
const MOST = 500;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** The last lines of the log, the newest first, as they are written. */
export function LogsPage({ mayGather }: { mayGather: boolean }): JSX.Element {
  return (
    <>
      <Lines />
      {mayGather && <Support />}
    </>
  );
}

/** What somebody elsewhere needs to help, as one file. */
function Support(): JSX.Element {
  const [busy, setBusy] = useState(false);
  const [told, setTold] = useState("");
  const [error, setError] = useState<unknown>();
  const gather = async () => {
    setBusy(true);
    setTold("");
    setError(undefined);
    try {
      await download("/support", "millrace-support.tar.gz");
      setTold(t("Gathered. Look into it before you send it on."));
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card
      title={t("Support bundle")}
      wide
      action={
        <button type="button" disabled={busy} onClick={() => void gather()}>
          {t("Gather and download")}
        </button>
      }
    >
      <p class="note">
        {t(
          "Configuration, status, metrics, log, queue and audit trail in one file, without secrets; names of hosts, topics, devices and users are in it.",
        )}
      </p>
      <p role="status" class="told">
        {told}
      </p>
      <Problem error={error} />
    </Card>
  );
}

function Lines(): JSX.Element {
  const [level, setLevel] = useState<(typeof LEVELS)[number]>("info");
  const [filter, setFilter] = useState("");
  const { lines, lost, error } = useLines(level);
  const wanted = filter.toLowerCase();
  const found = lines.filter((line) => wanted === "" || textOf(line).toLowerCase().includes(wanted));
  return (
    <Card
      title={t("Last lines")}
      wide
      action={
        <div class="tools">
          <label class="filter">
            <span>{t("From level")}</span>
            <select
              value={level}
              onChange={({ currentTarget: { value } }) => setLevel(LEVELS.find((one) => one === value) ?? "info")}
            >
              {LEVELS.map((one) => (
                <option key={one} value={one}>
                  {one}
                </option>
              ))}
            </select>
          </label>
          <label class="filter">
            <span class="unseen">{t("Filter lines")}</span>
            <input
              type="search"
              placeholder={t("Filter")}
              value={filter}
              onInput={({ currentTarget }) => setFilter(currentTarget.value)}
            />
          </label>
        </div>
      }
    >
      <Problem error={error} />
      {lost > 0 && <p class="note">{t("{n} lines passed too fast to be shown", { n: number(lost) })}</p>}
      {found.length === 0 && <p class="empty">{t("No lines.")}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <section class="scroll tall" tabIndex={0} aria-label={t("Last lines")}>
        <ol class="log">
          {found.map((line) => (
            <li key={line.n}>
              <time>{clock(line.time)}</time>
              <Pill state={line.level === "info" || line.level === "debug" ? "good" : line.level} text={line.level} />
              <span class="message">
                {line.message} <span class="note">{fieldsOf(line)}</span>
              </span>
            </li>
          ))}
        </ol>
      </section>
    </Card>
  );
}

type Line = LogsView["lines"][number];

function fieldsOf({ fields }: Line): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
}

function textOf(line: Line): string {
  return `${line.level} ${line.message} ${fieldsOf(line)}`;
}

function useLines(level: string): { lines: readonly Line[]; lost: number; error: unknown } {
  const [state, setState] = useState<{ lines: readonly Line[]; lost: number; error: unknown }>({
    lines: [],
    lost: 0,
    error: undefined,
  });
  const after = useRef(0);
  useEffect(() => {
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    after.current = 0;
    const run = async () => {
      try {
        const first = after.current === 0;
        const view = await get<LogsView>(`/logs?after=${after.current}&limit=${MOST}&level=${level}`, gone.signal);
        after.current = view.lines.at(-1)?.n ?? after.current;
        setState((before) => ({
          lines: [...view.lines.toReversed(), ...(first ? [] : before.lines)].slice(0, MOST),
          lost: first ? 0 : before.lost + view.lost,
          error: undefined,
        }));
      } catch (error) {
        if (!gone.signal.aborted) setState((before) => ({ ...before, error }));
      }
      if (!gone.signal.aborted) timer = setTimeout(() => void run(), EVERY_MS);
    };
    void run();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [level]);
  return state;
}
