import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type DeviceView, get, type HistoryView, pathOf } from "../api.ts";
import { age, clock, duration, number, shown } from "../format.ts";
import { follow, overview } from "../live.ts";
import { Plot } from "../parts/plot.tsx";
import { type Row, Tags } from "../parts/tags.ts";
import { Card, type Column, Figure, Loading, Pill, Problem, usePolled } from "../parts/ui.tsx";
import { VirtualTable } from "../parts/virtual-table.tsx";
import { WriteForm } from "../parts/write.tsx";
import { linkTo } from "../route.ts";
import { t } from "../settings.ts";
import { useStore } from "../store.ts";

const PLOT_EVERY_MS = 5_000;

/** A device: its tags, live; the last hour of one of them; writing where the configuration allows it. */
export function DevicePage({ name, mayWrite }: { name: string; mayWrite: boolean }): JSX.Element {
  const { data, error } = usePolled((signal) => get<DeviceView>(pathOf("devices", name), signal), 0, name);
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  return <Device device={data} mayWrite={mayWrite} />;
}

function Device({ device, mayWrite }: { device: DeviceView; mayWrite: boolean }): JSX.Element {
  const now = useStore(overview);
  const tags = useMemo(() => new Tags(device.values, Date.now()), [device]);
  const [, redraw] = useState(0);
  const [chosen, setChosen] = useState(() => device.values.find(({ history }) => history)?.tag);
  const [writing, setWriting] = useState<string | undefined>();
  const [filter, setFilter] = useState("");
  const [onlyBad, setOnlyBad] = useState(false);
  const opener = useRef<HTMLElement | undefined>(undefined);
  useEffect(
    () =>
      follow(device.name, (states) => {
        tags.take(states);
        redraw((n) => n + 1);
      }),
    [tags, device.name],
  );
  const brief = now?.devices.find(({ name }) => name === device.name) ?? device;
  const at = now?.now ?? Date.now();
  const rows = tags.found(filter, onlyBad);
  const columns = columnsOf({
    now: at,
    since: tags.since,
    chosen,
    choose: setChosen,
    write: mayWrite
      ? (tag, button) => {
          opener.current = button;
          setWriting(tag);
        }
      : undefined,
  });
  const closed = () => {
    setWriting(undefined);
    opener.current?.focus();
  };
  const written = writing === undefined ? undefined : tags.of(writing);
  const plotted = chosen === undefined ? undefined : tags.of(chosen);
  return (
    <>
      <dl class="figures strip">
        <div class="figure">
          <dt>{t("State")}</dt>
          <dd>
            <Pill state={brief.state} />
          </dd>
        </div>
        <div class="figure">
          <dt>{t("Link")}</dt>
          <dd>
            <a href={linkTo("links", brief.link)}>{brief.link}</a>
          </dd>
        </div>
        <Figure label={t("Topic")} value={brief.topic} />
        <Figure label={t("Last reply")} value={age(brief.lastReply, at)} />
        <Figure label={t("Timeouts")} value={number(brief.timeouts)} />
        <Figure label={t("Not good")} value={t("{n} of {all}", { n: number(brief.bad), all: number(brief.tags) })} />
      </dl>
      {written && <WriteForm device={device.name} row={written} onClose={closed} />}
      {plotted && <History device={device.name} row={plotted} />}
      <Card
        title={t("Tags")}
        wide
        action={
          <div class="tools">
            <label class="check">
              <input
                type="checkbox"
                checked={onlyBad}
                onChange={({ currentTarget }) => setOnlyBad(currentTarget.checked)}
              />
              {t("only those without a good value")}
            </label>
            <label class="filter">
              <span class="unseen">{t("Filter tags")}</span>
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
        <VirtualTable
          label={t("Tags, live")}
          columns={columns}
          rows={rows}
          keyOf={({ tag }) => tag}
          empty={onlyBad && filter === "" ? t("Every tag has a good value.") : t("No tag is like that.")}
        />
        <p class="note">{t("{n} of {all} tags", { n: number(rows.length), all: number(tags.rows.length) })}</p>
      </Card>
    </>
  );
}

function History({ device, row }: { device: string; row: Row }): JSX.Element {
  const { data, error } = usePolled(
    (signal) => get<HistoryView>(pathOf("devices", device, "tags", row.tag, "history"), signal),
    PLOT_EVERY_MS,
    row.tag,
  );
  return (
    <Card title={t("{tag}, last hour", { tag: row.tag })} wide>
      {data ? <Plot key={row.tag} history={data} unit={row.unit} /> : <div class="plot waiting" />}
      {data && <p class="note">{sinceWhen(data)}</p>}
      <Problem error={error} />
    </Card>
  );
}

/** Why a part of the hour is empty; nothing where it is not. */
function sinceWhen({ from, stepMs, min }: HistoryView): string {
  const first = min.findIndex((value) => value !== null);
  if (first < 0) return t("No good value in the last hour: the next ones are plotted as they come.");
  // A step or two at the edge is no hole.
  if (first <= 2) return "";
  return t("Values since {time}: they are not kept over a restart of the gateway.", {
    time: clock(from + first * stepMs),
  });
}

function columnsOf({
  now,
  since,
  chosen,
  choose,
  write,
}: {
  now: number;
  since: number;
  chosen: string | undefined;
  choose: (tag: string) => void;
  write: ((tag: string, button: HTMLElement) => void) | undefined;
}): Column<Row>[] {
  const columns: Column<Row>[] = [
    {
      title: t("Tag"),
      cell: ({ tag, history }) =>
        history ? (
          <button
            type="button"
            class="name"
            aria-pressed={tag === chosen}
            title={t("Plot the last hour of {tag}", { tag })}
            onClick={() => choose(tag)}
          >
            {tag}
          </button>
        ) : (
          <span title={tag}>{tag}</span>
        ),
    },
    {
      title: t("Value"),
      number: true,
      cell: ({ value, unit }) => (
        <>
          <span class="value">{shown(value)}</span>
          {unit !== undefined && <span class="unit"> {unit}</span>}
        </>
      ),
    },
    {
      title: t("Quality"),
      cell: ({ quality, reason }) => (
        <span title={reason}>
          <Pill state={quality} />
          {reason !== undefined && <span class="reason"> {reason}</span>}
        </span>
      ),
    },
    {
      title: t("Last change"),
      cell: ({ changedAt }) =>
        changedAt === undefined ? (
          <span class="note">{t("before {time}", { time: clock(since) })}</span>
        ) : (
          clock(changedAt)
        ),
    },
    { title: t("Last reading"), cell: ({ at }) => age(at, now) },
    {
      title: t("Source"),
      cell: ({ address, type, everyMs, derived }) => {
        const from = derived ? t("derived") : (address ?? "");
        const how = `${type}, ${t("every {time}", { time: pace(everyMs) })}`;
        return (
          <span class="note source" title={`${from} ${how}`}>
            <span>{from}</span> <span>{how}</span>
          </span>
        );
      },
    },
  ];
  if (!write) return columns;
  columns.push({
    title: t("Change"),
    cell: ({ tag, writable }) =>
      writable && (
        <button
          type="button"
          aria-label={t("Write {tag}", { tag })}
          onClick={({ currentTarget }) => write(tag, currentTarget)}
        >
          {t("Write")}
        </button>
      ),
  });
  return columns;
}

function pace(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : duration(ms / 1_000);
}
