import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type ConfigCheck, type ConfigDiff, type ConfigView, get, type HistoryList, send } from "../api.ts";
import { number } from "../format.ts";
import { Apply } from "../parts/apply.tsx";
import { useCompletion } from "../parts/completion.tsx";
import { Diff } from "../parts/diff.tsx";
import { History } from "../parts/history.tsx";
import { Card, Loading, Pill, Problem, usePolled } from "../parts/ui.tsx";
import { pending } from "../pending.ts";
import { t } from "../settings.ts";
import { useStore } from "../store.ts";

const CHECK_AFTER_MS = 400;
/** Height of a line of the editor, and what is above the first; as the style sheet has them. */
const LINE_PX = 20;
const TOP_PX = 10;

/** The configuration, and a candidate for it: checked as it is typed, compared, applied on probation; and the texts there were. */
export function ConfigPage(): JSX.Element {
  const { data, error, again } = usePolled((signal) => get<ConfigView>("/config", signal), 0, "config");
  const past = usePolled((signal) => get<HistoryList>("/config/history", signal), 0, "history");
  const state = useStore(pending)?.state;
  const before = useRef(state);
  // What was applied is the file from now on; what was taken back is not any more.
  useEffect(() => {
    if (before.current !== state) {
      again();
      past.again();
    }
    before.current = state;
  }, [state]);
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  return <Editor view={data} history={past.data} />;
}

function Editor({ view, history }: { view: ConfigView; history: HistoryList | undefined }): JSX.Element {
  const [text, setText] = useState(view.text);
  const [diff, setDiff] = useState<ConfigDiff | undefined>();
  const [error, setError] = useState<unknown>();
  const [told, setTold] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const numbers = useRef<HTMLPreElement>(null);
  const { check, problem, checking } = useCheck(text);
  const completion = useCompletion(area, setText);
  const marked = useMemo(() => new Set(check?.faults.map(({ line }) => line)), [check]);
  const compare = async () => {
    setError(undefined);
    try {
      setDiff(await send<ConfigDiff>("/config/diff", { text }));
    } catch (failure) {
      setError(failure);
    }
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setTold(t("Copied."));
    } catch {
      area.current?.select();
      setTold(t("The browser does not let it be copied; it is selected now."));
    }
  };
  const go = (line: number, column: number) => {
    const before = text.split("\n").slice(0, line - 1);
    const at = before.reduce((sum, one) => sum + one.length + 1, 0) + Math.max(0, column - 1);
    const { current } = area;
    if (!current) return;
    current.focus();
    current.setSelectionRange(at, at);
    current.scrollTop = Math.max(0, (line - 8) * LINE_PX);
  };
  const count = text.split("\n").length;
  return (
    <>
      {view.changed && (
        <p class="warning">
          {t(
            "The file is another one than the gateway runs with: apply it with millrace reload, or take it from here.",
          )}
        </p>
      )}
      <Card
        title={view.file.split("/").at(-1) ?? view.file}
        wide
        action={
          <div class="tools">
            <Verdict check={check} checking={checking} />
            <button type="button" onClick={() => void compare()}>
              {t("Compare")}
            </button>
            <button type="button" onClick={() => void copy()}>
              {t("Copy")}
            </button>
            <button type="button" onClick={() => setText(view.text)} disabled={text === view.text}>
              {t("Undo all")}
            </button>
          </div>
        }
      >
        {view.masked > 0 && (
          <p class="warning">
            {t("Masked here as [secret]: {n}. What is left so stays as it is in the file.", {
              n: number(view.masked),
            })}
          </p>
        )}
        <div class="editor">
          <pre class="lines" aria-hidden="true" ref={numbers}>
            {numbersOf(count)}
            {[...marked].map((line) => (
              <span key={line} class="marked" style={{ top: `${TOP_PX + (line - 1) * LINE_PX}px` }}>
                {line}
              </span>
            ))}
          </pre>
          <textarea
            ref={area}
            aria-label={t("Candidate for the configuration")}
            aria-describedby="faults"
            value={text}
            spellcheck={false}
            wrap="off"
            autoComplete="off"
            autoCapitalize="none"
            {...completion.props}
            onInput={(event) => {
              setText(event.currentTarget.value);
              completion.typed(event);
            }}
            onScroll={({ currentTarget }) => {
              if (numbers.current) numbers.current.scrollTop = currentTarget.scrollTop;
            }}
          />
          {completion.list}
        </div>
        <p class="hint">
          {t("Ctrl+Space shows what can stand at the cursor; Tab or Enter takes it, Escape closes the list.")}
        </p>
        <Problem error={error ?? problem} />
        <p role="status" class="told">
          {told}
        </p>
        <Faults check={check} go={go} />
      </Card>
      {diff && <Diff diff={diff} />}
      <Apply text={text} base={view.sha256} ready={check?.ok === true && !checking} />
      {history && (
        <History
          list={history}
          onTake={(taken) => {
            setText(taken);
            area.current?.focus();
          }}
        />
      )}
    </>
  );
}

/** One text: a configuration of thousands of lines has as many numbers. */
function numbersOf(count: number): string {
  return Array.from({ length: count }, (_, index) => index + 1).join("\n");
}

function Verdict({ check, checking }: { check: ConfigCheck | undefined; checking: boolean }): JSX.Element {
  if (checking || !check) return <Pill state="checking" text={t("checking …")} />;
  if (check.ok) return <Pill state="ok" text={t("no faults")} />;
  return <Pill state="bad" text={t("faults: {n}", { n: number(check.faults.length) })} />;
}

function Faults({
  check,
  go,
}: {
  check: ConfigCheck | undefined;
  go: (line: number, column: number) => void;
}): JSX.Element {
  const all = [
    ...(check?.faults ?? []).map((fault) => ({ ...fault, kind: "bad" })),
    ...(check?.warnings ?? []).map((fault) => ({ ...fault, kind: "warn" })),
  ];
  return (
    <ul class="faults" id="faults" aria-live="polite" aria-label={t("Faults and warnings")}>
      {all.slice(0, 100).map(({ line, column, path, message, kind }) => (
        <li key={`${line}:${column}:${path}:${message}`} class={kind}>
          <button type="button" class="name" onClick={() => go(line, column)}>
            {t("line {line}, column {column}", { line, column })}
          </button>
          <span>
            {path !== "" && <code>{path}</code>} {message}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Checks what is typed, once it rests for a moment. */
function useCheck(text: string): { check: ConfigCheck | undefined; problem: unknown; checking: boolean } {
  const [state, setState] = useState<{ text: string | undefined; check: ConfigCheck | undefined; problem: unknown }>({
    text: undefined,
    check: undefined,
    problem: undefined,
  });
  useEffect(() => {
    let over = false;
    const timer = setTimeout(async () => {
      try {
        const check = await send<ConfigCheck>("/config/check", { text });
        if (!over) setState({ text, check, problem: undefined });
      } catch (problem) {
        if (!over) setState({ text, check: undefined, problem });
      }
    }, CHECK_AFTER_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [text]);
  return { check: state.check, problem: state.problem, checking: state.text !== text };
}
