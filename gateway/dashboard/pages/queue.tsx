import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, pathOf, type QueueView, type RecordsView } from "../api.ts";
import { age, bytes, moment, number, seconds, spell } from "../format.ts";
import { Card, Figure, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { linkTo } from "../route.ts";
import { t } from "../settings.ts";

interface Lane {
  readonly depth: number;
  readonly bytes: number;
  readonly lastTaken?: number;
  readonly lastAcked?: number;
}

/** What the queue says of itself, as far as it is shown. */
interface Stats {
  readonly streams?: Readonly<
    Record<string, { nextSeq: number; segments: number; bytes: number; appended: number; oldestWallMs?: number }>
  >;
  readonly uplinks?: readonly {
    readonly name: string;
    readonly configured?: boolean;
    readonly gapsPending: number;
    readonly lost: number;
    readonly secondsToDrain?: number;
    readonly streams: Readonly<Record<string, Lane & { readonly lanes?: Readonly<Record<string, Partial<Lane>>> }>>;
  }[];
  readonly bytes?: number;
  readonly maxBytes?: number;
  readonly secondsToFull?: number;
  readonly secondsToDrain?: number;
  readonly dropped?: number;
  readonly healthy?: boolean;
  readonly now?: number;
  readonly wear?: { readonly bytesWritten: number; readonly fsyncs: number; readonly cardDays?: number };
  readonly quarantine?: { readonly segments: number; readonly bytes: number };
}

const EVERY_MS = 2_000;

export function QueuePage(): JSX.Element {
  const { data, error } = usePolled((signal) => get<QueueView>("/queue", signal), EVERY_MS, "queue");
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  const stats: Stats = data.stats;
  const { quarantine, wear, streams } = stats;
  // What no stream has is kept for when the disk is full.
  const held = streams && Object.values(streams).reduce((sum, stream) => sum + stream.bytes, 0);
  const reserve = Math.max(0, (stats.bytes ?? 0) - (held ?? stats.bytes ?? 0));
  return (
    <>
      <Problem error={error} />
      <dl class="figures strip">
        <div class="figure">
          <dt>{t("State")}</dt>
          <dd>
            <Pill
              state={stats.healthy === false ? "failed" : "ok"}
              text={stats.healthy === false ? t("refuses records") : t("takes records")}
            />
          </dd>
        </div>
        <Figure
          label={t("on disk")}
          value={bytes((stats.bytes ?? 0) - reserve)}
          note={t("of {all}", { all: bytes(stats.maxBytes ?? 0) })}
        />
        {reserve > 0 && <Figure label={t("in reserve for a full disk")} value={bytes(reserve)} />}
        <Figure label={t("until full")} {...spell(stats.secondsToFull)} />
        <Figure label={t("until drained")} {...spell(stats.secondsToDrain)} />
        <Figure label={t("dropped")} value={number(stats.dropped ?? 0)} />
        {wear?.cardDays !== undefined && (
          <Figure label={t("the disk lasts at this rate")} value={seconds(wear.cardDays * 86_400)} />
        )}
      </dl>
      <Streams stats={stats} />
      <Lanes stats={stats} />
      <Gaps view={data} />
      <DeadLetters view={data} now={stats.now ?? Date.now()} />
      <Card title={t("Quarantine")} wide>
        <p>
          {quarantine && quarantine.segments > 0
            ? t("{n} damaged pieces of the store, {size}, were set aside. millrace queue can look into them.", {
                n: number(quarantine.segments),
                size: bytes(quarantine.bytes),
              })
            : t("Nothing was found damaged and set aside.")}
        </p>
      </Card>
    </>
  );
}

function Streams({ stats: { streams = {}, now = Date.now() } }: { stats: Stats }): JSX.Element {
  return (
    <Card title={t("Streams")} wide>
      <Table
        label={t("Streams")}
        columns={[
          { title: t("Stream"), cell: ([name]) => name },
          { title: t("Next number"), number: true, cell: ([, { nextSeq }]) => number(nextSeq) },
          { title: t("Stored since the start"), number: true, cell: ([, { appended }]) => number(appended) },
          { title: t("Segments"), number: true, cell: ([, { segments }]) => number(segments) },
          { title: t("Size"), number: true, cell: ([, { bytes: size }]) => bytes(size) },
          { title: t("Oldest"), cell: ([, { oldestWallMs }]) => age(oldestWallMs, now) },
        ]}
        rows={Object.entries(streams)}
        keyOf={([name]) => name}
        empty={t("None.")}
      />
    </Card>
  );
}

function Lanes({ stats: { uplinks = [] } }: { stats: Stats }): JSX.Element {
  const rows = uplinks.flatMap(({ name, streams, gapsPending }) =>
    Object.entries(streams).flatMap(([stream, whole]) => {
      const lanes = Object.entries(whole.lanes ?? {});
      const own = { uplink: name, stream, lane: "", gapsPending, ...whole };
      return [own, ...lanes.map(([lane, part]) => ({ ...own, depth: 0, bytes: 0, ...part, lane }))];
    }),
  );
  return (
    <Card title={t("What each uplink is owed")} wide>
      <Table
        label={t("What each uplink is owed")}
        columns={[
          { title: t("Uplink"), cell: ({ uplink }) => <a href={linkTo("uplinks", uplink)}>{uplink}</a> },
          { title: t("Stream"), cell: ({ stream }) => stream },
          { title: t("Lane"), cell: ({ lane }) => (lane === "" ? t("all") : lane) },
          { title: t("Waiting"), number: true, cell: ({ depth }) => number(depth) },
          { title: t("Size"), number: true, cell: ({ bytes: size }) => bytes(size) },
          { title: t("Last taken"), number: true, cell: ({ lastTaken }) => number(lastTaken ?? 0) },
          { title: t("Last acknowledged"), number: true, cell: ({ lastAcked }) => number(lastAcked ?? 0) },
        ]}
        rows={rows}
        keyOf={({ uplink, stream, lane }) => `${uplink} ${stream} ${lane}`}
        empty={t("No uplinks are configured.")}
      />
    </Card>
  );
}

function Gaps({ view: { gaps } }: { view: QueueView }): JSX.Element {
  return (
    <Card title={t("Gaps")} wide>
      <Table
        label={t("Gaps")}
        columns={[
          { title: t("Uplink"), cell: ({ uplink }) => uplink },
          { title: t("Stream"), cell: ({ stream }) => stream },
          { title: t("From"), number: true, cell: ({ from }) => (from === undefined ? "–" : number(from)) },
          { title: t("To"), number: true, cell: ({ to }) => (to === undefined ? "–" : number(to)) },
          { title: t("Records"), number: true, cell: ({ count }) => (count === undefined ? "–" : number(count)) },
          { title: t("Reason"), cell: ({ reason }) => reason },
        ]}
        rows={gaps}
        keyOf={(gap) => JSON.stringify(gap)}
        empty={t("No gaps are waiting to be told upstream.")}
      />
    </Card>
  );
}

function DeadLetters({ view: { deadLetters }, now }: { view: QueueView; now: number }): JSX.Element {
  const [open, setOpen] = useState<string | undefined>();
  return (
    <Card title={t("Dead letters")} wide>
      <Table
        label={t("Dead letters")}
        columns={[
          { title: t("Uplink"), cell: ({ uplink }) => uplink },
          { title: t("Records"), number: true, cell: ({ records }) => number(records) },
          { title: t("Size"), number: true, cell: ({ bytes: size }) => bytes(size) },
          { title: t("Oldest"), cell: ({ oldest }) => age(oldest, now) },
          { title: t("Dropped"), number: true, cell: ({ dropped }) => number(dropped) },
          {
            title: t("Look"),
            cell: ({ uplink, records }) =>
              records > 0 && (
                <button
                  type="button"
                  aria-expanded={open === uplink}
                  aria-label={`${open === uplink ? t("Hide") : t("Show")}: ${uplink}`}
                  onClick={() => setOpen(open === uplink ? undefined : uplink)}
                >
                  {open === uplink ? t("Hide") : t("Show")}
                </button>
              ),
          },
        ]}
        rows={deadLetters}
        keyOf={({ uplink }) => uplink}
        empty={t("No uplinks are configured.")}
      />
      {open !== undefined && <Refused uplink={open} />}
    </Card>
  );
}

function Refused({ uplink }: { uplink: string }): JSX.Element {
  const { data, error } = usePolled(
    (signal) => get<RecordsView>(`${pathOf("uplinks", uplink, "dead-letters")}?limit=20`, signal),
    0,
    uplink,
  );
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  return (
    <ol class="records">
      {data.records.map((record) => (
        <li key={String(record["id"] ?? JSON.stringify(record))}>
          <span class="note">{moment(typeof record["ts"] === "number" ? record["ts"] : undefined)}</span>
          <pre>{JSON.stringify(record, null, 1)}</pre>
        </li>
      ))}
    </ol>
  );
}
