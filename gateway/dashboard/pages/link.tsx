import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { download, get, type LinkView, pathOf } from "../api.ts";
import { age, bytes, duration, moment, number, percent } from "../format.ts";
import { Card, Figure, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t } from "../settings.ts";
import { deviceColumns } from "./overview.tsx";

/** What the plan of a link says, as far as it is shown. */
interface Plan {
  readonly predictedPercent?: number;
  readonly groups?: readonly {
    readonly device: string;
    readonly everyMs: number;
    readonly requests: readonly {
      readonly label: string;
      readonly tags: readonly string[];
      readonly answers?: number;
      readonly busyMs?: number;
      readonly measuredMs?: number;
      readonly mostMs?: number;
    }[];
  }[];
  readonly devices?: readonly { readonly device: string; readonly learnt: readonly string[] }[];
}

const EVERY_MS = 2_000;
/** As much as the plan and what was learnt show at once. */
const MOST = 200;
const LENGTHS = [0, 10, 60, 300] as const;

export function LinkPage({ name, mayRecord }: { name: string; mayRecord: boolean }): JSX.Element {
  const { data, error } = usePolled((signal) => get<LinkView>(pathOf("links", name), signal), EVERY_MS, name);
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  const plan: Plan = data.plan;
  const now = Date.now();
  return (
    <>
      <Problem error={error} />
      <dl class="figures strip">
        <div class="figure">
          <dt>{t("State")}</dt>
          <dd>
            <Pill state={data.state} />
          </dd>
        </div>
        <Figure label={t("Driver")} value={data.driver} />
        <Figure label={t("Since")} value={age(data.since, now)} />
        <Figure label={t("Last reply")} value={age(data.lastReply, now)} />
        <Figure label={t("Runs that came late")} value={number(data.overruns)} />
        <Figure label={t("Errors")} value={number(data.errors)} />
      </dl>
      {data.state !== "connected" && data.lastError !== undefined && <p class="problem">{data.lastError}</p>}
      <div class="grid">
        <Card title={t("Bus load")}>
          <p class="big">{percent(data.loadPercent)}</p>
          <meter
            min={0}
            max={100}
            high={80}
            optimum={0}
            value={data.loadPercent}
            aria-label={t("Bus load {share}", { share: percent(data.loadPercent) })}
          />
          {plan.predictedPercent !== undefined && (
            <p class="note">{t("{share} as planned", { share: percent(plan.predictedPercent) })}</p>
          )}
        </Card>
        <Recorder link={data} mayRecord={mayRecord} />
      </div>
      <Card title={t("Units")} wide>
        <Table
          label={t("Units")}
          columns={deviceColumns(now).filter(({ title }) => title !== t("Link"))}
          rows={data.units}
          keyOf={({ name: unit }) => unit}
          empty={t("No devices.")}
        />
      </Card>
      <Requests plan={plan} />
      <Learnt plan={plan} />
    </>
  );
}

function Requests({ plan }: { plan: Plan }): JSX.Element {
  const rows = (plan.groups ?? []).flatMap(({ device, everyMs, requests }) =>
    requests.map((request) => ({ device, everyMs, ...request })),
  );
  return (
    <Card title={t("Plan of requests")} wide>
      <Table
        label={t("Plan of requests")}
        columns={[
          { title: t("Request"), cell: ({ label }) => label },
          { title: t("Device"), cell: ({ device }) => device },
          {
            title: t("Every"),
            number: true,
            cell: ({ everyMs }) => (everyMs < 1_000 ? `${everyMs} ms` : duration(everyMs / 1_000)),
          },
          { title: t("Tags"), number: true, cell: ({ tags }) => <span title={tags.join(", ")}>{tags.length}</span> },
          { title: t("Expected"), number: true, cell: ({ busyMs }) => msOf(busyMs) },
          {
            title: t("Measured"),
            number: true,
            cell: ({ measuredMs }) => msOf(measuredMs),
          },
          {
            title: t("Slowest"),
            number: true,
            cell: ({ mostMs }) => msOf(mostMs),
          },
          { title: t("Answers"), number: true, cell: ({ answers }) => number(answers) },
        ]}
        rows={rows.slice(0, MOST)}
        keyOf={({ device, everyMs, label }) => `${device} ${everyMs} ${label}`}
        empty={t("Nothing is asked: the devices send by themselves, or have no tags.")}
      />
      {rows.length > MOST && (
        <p class="note">{t("{n} more; millrace plan has them all", { n: number(rows.length - MOST) })}</p>
      )}
    </Card>
  );
}

function msOf(ms: number | undefined): string {
  return ms === undefined ? "–" : `${number(ms, 1)} ms`;
}

function Learnt({ plan }: { plan: Plan }): JSX.Element | null {
  const learnt = (plan.devices ?? []).flatMap(({ device, learnt: lines }) => lines.map((line) => `${device}: ${line}`));
  if (learnt.length === 0) return null;
  return (
    <Card title={t("Learnt about the units")} wide>
      <ul class="plain">
        {learnt.slice(0, MOST).map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      {learnt.length > MOST && (
        <p class="note">{t("{n} more; millrace plan has them all", { n: number(learnt.length - MOST) })}</p>
      )}
    </Card>
  );
}

function Recorder({ link, mayRecord }: { link: LinkView; mayRecord: boolean }): JSX.Element {
  const [length, setLength] = useState(0);
  const [busy, setBusy] = useState("");
  const [error, setError] = useState<unknown>();
  const { recorder, recordings, name } = link;
  const take = async (what: string, run: () => Promise<void>) => {
    setBusy(what);
    setError(undefined);
    try {
      await run();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy("");
    }
  };
  const record = () =>
    take(t("Recording …"), () =>
      download(pathOf("links", name, "record"), `${name}.pcapng`, length === 0 ? {} : { forMs: length * 1_000 }),
    );
  return (
    <Card title={t("Frame recorder")} action={<Pill state={recorder.recording ? "running" : "off"} />}>
      {recorder.recording ? (
        <p>
          {t("The last {n} bytes that passed are held, the oldest {age} old.", {
            n: number(recorder.bytes ?? 0),
            age: duration((recorder.ageMs ?? 0) / 1_000),
          })}
        </p>
      ) : (
        <p>{t("This link records nothing.")}</p>
      )}
      {recorder.recording && mayRecord && (
        <div class="line">
          <label class="field">
            <span>{t("What to record")}</span>
            <select value={length} onChange={({ currentTarget }) => setLength(Number(currentTarget.value))}>
              {LENGTHS.map((seconds) => (
                <option key={seconds} value={seconds}>
                  {seconds === 0 ? t("what passed lately") : t("the next {time}", { time: duration(seconds) })}
                </option>
              ))}
            </select>
          </label>
          <button type="button" class="main" disabled={busy !== ""} onClick={() => void record()}>
            {length === 0 ? t("Download") : t("Record and download")}
          </button>
        </div>
      )}
      <p role="status" class="told">
        {busy}
      </p>
      <Problem error={error} />
      {recordings.length > 0 && (
        <>
          <h3>{t("Written after faults")}</h3>
          <ul class="plain">
            {recordings.map(({ file, bytes: size, at }) => (
              <li key={file}>
                {mayRecord ? (
                  <button
                    type="button"
                    class="name"
                    onClick={() => void take("", () => download(pathOf("links", name, "recordings", file), file))}
                  >
                    {file}
                  </button>
                ) : (
                  file
                )}{" "}
                <span class="note">
                  {bytes(size)}, {moment(at)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}
