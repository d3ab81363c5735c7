import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { DeviceBrief, LinkBrief, Overview, UplinkBrief } from "../api.ts";
import { age, bytes, duration, number, percent, seconds, spell } from "../format.ts";
import { overview } from "../live.ts";
import { Sparkline } from "../parts/sparkline.tsx";
import { Card, type Column, Figure, Loading, Pill, Table } from "../parts/ui.tsx";
import { linkTo } from "../route.ts";
import { t, word } from "../settings.ts";
import { useStore } from "../store.ts";

/** As many devices as are shown at once; the filter finds the others. */
const MOST_DEVICES = 100;

export function OverviewPage(): JSX.Element {
  const now = useStore(overview);
  if (!now) return <Loading />;
  return (
    <>
      {!now.health.ok && (
        <p class="problem" role="alert">
          {now.health.reasons.join("; ")}
        </p>
      )}
      <div class="grid">
        <Rates now={now} />
        <Backlog now={now} />
      </div>
      <Card title={t("Uplinks")} wide>
        <Table
          label={t("Uplinks")}
          columns={uplinkColumns(now.now)}
          rows={now.uplinks}
          keyOf={({ name }) => name}
          empty={t("No uplinks are configured.")}
        />
      </Card>
      <Card title={t("Links")} wide>
        <Table
          label={t("Links")}
          columns={linkColumns(now.now)}
          rows={now.links}
          keyOf={({ name }) => name}
          empty={t("No links are configured.")}
        />
      </Card>
      <Devices now={now} />
    </>
  );
}

function Rates({ now: { rates, startedAt, now, clock } }: { now: Overview }): JSX.Element {
  return (
    <Card title={t("Records per second")}>
      <Sparkline
        first={rates.historyIn}
        second={rates.historyOut}
        label={t("Stored and delivered records per second in the last two minutes")}
      />
      <dl class="figures">
        <Figure mark="first" label={t("stored")} value={number(rates.inPerSecond, 1)} />
        <Figure mark="second" label={t("delivered")} value={number(rates.outPerSecond, 1)} />
        <Figure label={t("running for")} value={duration((now - startedAt) / 1_000)} />
        <Figure label={t("clock")} value={word(clock)} />
      </dl>
    </Card>
  );
}

function Backlog({ now: { queue, uplinks } }: { now: Overview }): JSX.Element {
  const backlog = uplinks.reduce((sum, uplink) => sum + uplink.backlog, 0);
  const held = queue.bytes - queue.reserveBytes;
  const filled = (held / Math.max(1, queue.maxBytes)) * 100;
  return (
    <Card title={t("Backlog")} action={<a href={linkTo("queue")}>{t("Queue")}</a>}>
      <meter
        min={0}
        max={100}
        high={80}
        optimum={0}
        value={filled}
        aria-label={t("Disk space of the queue in use: {share}", { share: percent(filled) })}
      />
      <p class="note">
        {t("{used} of {all}", { used: bytes(held), all: bytes(queue.maxBytes) })} · {percent(filled)}
        {queue.reserveBytes > 0 && ` · ${t("{size} in reserve", { size: bytes(queue.reserveBytes) })}`}
      </p>
      <dl class="figures">
        <Figure label={t("records waiting")} value={number(backlog)} />
        <Figure label={t("until full")} {...spell(queue.secondsToFull)} />
        <Figure label={t("until drained")} {...spell(queue.secondsToDrain)} />
        <Figure
          label={t("dropped")}
          value={number(queue.dropped)}
          {...(queue.quarantined > 0 ? { note: t("{n} set aside", { n: number(queue.quarantined) }) } : {})}
        />
      </dl>
    </Card>
  );
}

function Devices({ now }: { now: Overview }): JSX.Element {
  const [filter, setFilter] = useState("");
  const wanted = filter.toLowerCase();
  const found = now.devices.filter(({ name, link }) => `${name} ${link}`.toLowerCase().includes(wanted));
  const search = now.devices.length > 8 && (
    <label class="filter">
      <span class="unseen">{t("Filter devices")}</span>
      <input
        type="search"
        placeholder={t("Filter")}
        value={filter}
        onInput={({ currentTarget }) => setFilter(currentTarget.value)}
      />
    </label>
  );
  return (
    <Card title={t("Devices")} wide action={search}>
      <Table
        label={t("Devices")}
        columns={deviceColumns(now.now)}
        rows={found.slice(0, MOST_DEVICES)}
        keyOf={({ name }) => name}
        empty={t("No devices.")}
      />
      {found.length > MOST_DEVICES && (
        <p class="note">{t("{n} more; the filter finds them", { n: number(found.length - MOST_DEVICES) })}</p>
      )}
    </Card>
  );
}

function uplinkColumns(now: number): Column<UplinkBrief>[] {
  return [
    { title: t("Uplink"), cell: ({ name }) => <a href={linkTo("uplinks", name)}>{name}</a> },
    { title: t("State"), cell: ({ state }) => <Pill state={state} /> },
    { title: t("Since"), cell: ({ since }) => age(since, now) },
    { title: t("Backlog"), number: true, cell: ({ backlog }) => number(backlog) },
    { title: t("Until drained"), number: true, cell: ({ secondsToDrain }) => seconds(secondsToDrain) },
    { title: t("Dead letters"), number: true, cell: ({ deadLetters }) => number(deadLetters) },
    { title: t("Trouble"), cell: ({ alarm, lastError, state }) => alarm ?? (state === "connected" ? "" : lastError) },
  ];
}

function linkColumns(now: number): Column<LinkBrief>[] {
  return [
    { title: t("Link"), cell: ({ name }) => <a href={linkTo("links", name)}>{name}</a> },
    { title: t("State"), cell: ({ state }) => <Pill state={state} /> },
    { title: t("Driver"), cell: ({ driver }) => driver },
    { title: t("Bus load"), number: true, cell: ({ loadPercent }) => percent(loadPercent) },
    { title: t("Last reply"), cell: ({ lastReply }) => age(lastReply, now) },
    { title: t("Errors"), number: true, cell: ({ errors }) => number(errors) },
    { title: t("Trouble"), cell: ({ lastError, state }) => (state === "connected" ? "" : lastError) },
  ];
}

export function deviceColumns(now: number): Column<DeviceBrief>[] {
  return [
    { title: t("Device"), cell: ({ name }) => <a href={linkTo("devices", name)}>{name}</a> },
    { title: t("State"), cell: ({ state }) => <Pill state={state} /> },
    { title: t("Link"), cell: ({ link }) => <a href={linkTo("links", link)}>{link}</a> },
    { title: t("Tags"), number: true, cell: ({ tags }) => number(tags) },
    {
      title: t("Not good"),
      number: true,
      cell: ({ bad }) => (bad > 0 ? <span class="bad-text">{number(bad)}</span> : number(bad)),
    },
    { title: t("Last reply"), cell: ({ lastReply }) => age(lastReply, now) },
    { title: t("Requests"), number: true, cell: ({ requests }) => number(requests) },
    { title: t("Timeouts"), number: true, cell: ({ timeouts }) => number(timeouts) },
    { title: t("Errors"), number: true, cell: ({ errors }) => number(errors) },
  ];
}
