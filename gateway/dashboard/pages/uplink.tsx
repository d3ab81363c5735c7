import type { JSX } from "preact";
import { get, pathOf, type UplinkView } from "../api.ts";
import { age, bytes, duration, moment, number, spell } from "../format.ts";
import { Card, Figure, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t } from "../settings.ts";

const EVERY_MS = 1_000;

export function UplinkPage({ name }: { name: string }): JSX.Element {
  const { data, error } = usePolled((signal) => get<UplinkView>(pathOf("uplinks", name), signal), EVERY_MS, name);
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
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
        <Figure label={t("Type")} value={data.type} />
        <Figure label={t("Since")} value={age(data.since, now)} />
        <Figure label={t("records waiting")} value={number(data.backlog)} note={bytes(data.backlogBytes)} />
        <Figure label={t("until drained")} {...spell(data.secondsToDrain)} />
        <Figure label={t("Oldest")} value={age(data.oldest, now)} />
      </dl>
      {data.alarm !== undefined && <p class="problem">{data.alarm}</p>}
      {data.state !== "connected" && data.lastError !== undefined && <p class="problem">{data.lastError}</p>}
      <div class="grid">
        <Window view={data} />
        <Limits view={data} />
      </div>
      <Card title={t("Certificates")} wide>
        <Table
          label={t("Certificates")}
          columns={[
            { title: t("File"), cell: ({ file }) => file },
            { title: t("Subject"), cell: ({ subject }) => subject },
            { title: t("Good until"), cell: ({ validTo }) => moment(validTo) },
            { title: t("Days left"), number: true, cell: ({ daysLeft }) => <Days left={daysLeft} /> },
            { title: t("Trouble"), cell: ({ error: trouble }) => trouble },
          ]}
          rows={data.certificates}
          keyOf={({ file }) => file}
          empty={t("This uplink names no certificates.")}
        />
      </Card>
    </>
  );
}

function Days({ left }: { left: number | undefined }): JSX.Element {
  if (left === undefined) return <>–</>;
  return <span class={left < 30 ? "bad-text" : undefined}>{number(left)}</span>;
}

function Window({
  view: { inFlight, limits, retrying, order, gapsPending, deadLetters, connections },
}: {
  view: UplinkView;
}) {
  return (
    <Card title={t("Window")}>
      <p class="big">
        {number(inFlight)}
        {limits && <span class="note"> {t("of {all} on their way", { all: number(limits.inFlight) })}</span>}
      </p>
      {limits && (
        <meter
          min={0}
          max={Math.max(1, limits.inFlight)}
          value={inFlight}
          aria-label={t("{n} of {all} messages on their way", { n: inFlight, all: limits.inFlight })}
        />
      )}
      <dl class="figures">
        <Figure label={t("Sent again")} value={number(retrying)} />
        <Figure label={t("Order")} value={order} />
        <Figure label={t("Gaps to tell")} value={number(gapsPending)} />
        <Figure label={t("Dead letters")} value={number(deadLetters)} />
        <Figure label={t("Connections so far")} value={number(connections)} />
      </dl>
    </Card>
  );
}

function Limits({ view: { limits, maxRate, maxBacklog, select } }: { view: UplinkView }): JSX.Element {
  const open = t("no limit");
  const rows: (readonly [string, string])[] = [
    [t("Selects"), select.join(", ")],
    [t("Far side: messages at a time"), limits ? number(limits.inFlight) : t("not known while disconnected")],
    [t("Far side: greatest message"), limits?.maxBytes === undefined ? open : bytes(limits.maxBytes)],
    [t("Own: messages per second"), maxRate.messages === undefined ? open : number(maxRate.messages, 1)],
    [t("Own: bytes per second"), maxRate.bytes === undefined ? open : bytes(maxRate.bytes)],
    [t("Own: backlog"), maxBacklog.bytes === undefined ? open : bytes(maxBacklog.bytes)],
    [t("Own: age of the backlog"), maxBacklog.age === undefined ? open : duration(maxBacklog.age / 1_000)],
  ];
  return (
    <Card title={t("Limits")}>
      <dl class="pairs">
        {rows.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
