import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, type Interpretations, type LinkBrief, pathOf, type ScanView, send } from "../api.ts";
import { Candidates } from "../parts/candidates.tsx";
import { Card, Loading, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t, word } from "../settings.ts";

type Line = { readonly link: string } | { readonly tcp: { readonly host: string; readonly port: number } };

const LOOK_MS = 400;
const UNITS = /^\s*\d{1,3}(?:\s*-\s*\d{1,3})?(?:\s*,\s*\d{1,3}(?:\s*-\s*\d{1,3})?)*\s*$/;

/** Find the units of a line, read a register, and take the line for the configuration along. */
export function WizardPage(): JSX.Element {
  const { data, error } = usePolled((signal) => get<{ links: LinkBrief[] }>("/links", signal), 0, "links");
  if (!data) return error === undefined ? <Loading /> : <Problem error={error} />;
  return <Wizard links={data.links.filter(({ driver }) => driver === "modbus")} />;
}

function Wizard({ links }: { links: readonly LinkBrief[] }): JSX.Element {
  const [where, setWhere] = useState(links[0]?.name ?? "");
  const [host, setHost] = useState("");
  const [port, setPort] = useState("502");
  const [units, setUnits] = useState("1-10");
  const [unit, setUnit] = useState("1");
  const [error, setError] = useState<unknown>();
  const { scan, setScan } = useScan(setError);
  const line: Line = where === "" ? { tcp: { host: host.trim(), port: Number(port) } } : { link: where };
  const begin = async (event: SubmitEvent) => {
    event.preventDefault();
    setError(undefined);
    try {
      setScan(await send<ScanView>("/wizard/scans", { line, units: unitsOf(units) }));
    } catch (problem) {
      setError(problem);
    }
  };
  const halt = async () => {
    if (!scan) return;
    try {
      setScan(await send<ScanView>(pathOf("wizard", "scans", scan.id), {}, "DELETE"));
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <>
      <Card title={t("1. Find the units on a line")} wide>
        <form class="line" onSubmit={(event) => void begin(event)}>
          <label class="field">
            <span>{t("Line")}</span>
            <select value={where} onChange={({ currentTarget }) => setWhere(currentTarget.value)}>
              {links.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
              <option value="">{t("another Modbus TCP device")}</option>
            </select>
          </label>
          {where === "" && (
            <>
              <Text label={t("Host")} value={host} onValue={setHost} />
              <Text label={t("Port")} value={port} onValue={setPort} narrow />
            </>
          )}
          <Text label={t("Unit ids, such as 1-10, 17")} value={units} onValue={setUnits} />
          <button type="submit" class="main" disabled={scan?.state === "running"}>
            {t("Scan")}
          </button>
          {scan?.state === "running" && (
            <button type="button" onClick={() => void halt()}>
              {t("Stop")}
            </button>
          )}
        </form>
        <Problem error={error} />
        {scan && <Found scan={scan} onUnit={(found) => setUnit(String(found))} chosen={unit} />}
      </Card>
      <Read line={line} unit={unit} onUnit={setUnit} />
    </>
  );
}

function Found({
  scan,
  onUnit,
  chosen,
}: {
  scan: ScanView;
  onUnit: (unit: number) => void;
  chosen: string;
}): JSX.Element {
  return (
    <>
      <progress max={scan.total} value={scan.asked} aria-label={t("Progress of the scan")} />
      <p role="status" class="note">
        {t("{state}: {n} of {all} asked, {found} found", {
          state: word(scan.state),
          n: scan.asked,
          all: scan.total,
          found: scan.units.length,
        })}
      </p>
      {scan.error !== undefined && <p class="problem">{scan.error}</p>}
      <Table
        label={t("Units that were found")}
        columns={[
          { title: t("Unit"), cell: ({ unit }) => unit },
          { title: t("Answer"), cell: ({ answer }) => answer },
          {
            title: t("Says of itself"),
            cell: ({ objects, serverId }) => [...Object.values(objects), serverId ?? ""].filter(Boolean).join(", "),
          },
          {
            title: t("Choose"),
            cell: ({ unit }) => (
              <button
                type="button"
                aria-label={t("Read from unit {unit}", { unit })}
                aria-pressed={String(unit) === chosen}
                onClick={() => onUnit(unit)}
              >
                {t("Read")}
              </button>
            ),
          },
        ]}
        rows={scan.units}
        keyOf={({ unit }) => String(unit)}
        empty={scan.state === "running" ? t("None yet.") : t("Nobody answered.")}
      />
    </>
  );
}

function Read({ line, unit, onUnit }: { line: Line; unit: string; onUnit: (unit: string) => void }): JSX.Element {
  const [address, setAddress] = useState("holding:0");
  const [expect, setExpect] = useState("");
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<Interpretations | undefined>();
  const [error, setError] = useState<unknown>();
  const read = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const body = { line, unit: Number(unit), address: address.trim(), samples: 2 };
      setFound(
        await send<Interpretations>("/wizard/read", expect.trim() === "" ? body : { ...body, expect: expect.trim() }),
      );
    } catch (problem) {
      setFound(undefined);
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title={t("2. Read an address")} wide>
      <form class="line" onSubmit={(event) => void read(event)}>
        <Text label={t("Unit")} value={unit} onValue={onUnit} narrow />
        <Text label={t("Address")} value={address} onValue={setAddress} />
        <Text label={t("What the display shows (optional)")} value={expect} onValue={setExpect} optional />
        <button type="submit" class="main" disabled={busy}>
          {t("Read")}
        </button>
      </form>
      <Problem error={error} />
      <div aria-live="polite">
        {busy ? <p class="note">{t("Reading …")}</p> : found && <Candidates found={found} />}
      </div>
    </Card>
  );
}

function Text({
  label,
  value,
  onValue,
  narrow,
  optional,
}: {
  label: string;
  value: string;
  onValue: (value: string) => void;
  narrow?: boolean;
  optional?: boolean;
}): JSX.Element {
  return (
    <label class={narrow ? "field narrow" : "field"}>
      <span>{label}</span>
      <input
        value={value}
        autoComplete="off"
        spellcheck={false}
        required={!optional}
        onInput={({ currentTarget }) => onValue(currentTarget.value)}
      />
    </label>
  );
}

/** A scan, looked at again until it is over. */
function useScan(onError: (error: unknown) => void) {
  const [scan, setScan] = useState<ScanView | undefined>();
  useEffect(() => {
    if (scan?.state !== "running") return undefined;
    let over = false;
    const timer = setTimeout(async () => {
      try {
        const next = await get<ScanView>(pathOf("wizard", "scans", scan.id));
        if (!over) setScan(next);
      } catch (problem) {
        if (!over) onError(problem);
      }
    }, LOOK_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [scan]);
  return { scan, setScan };
}

/** @throws Error for what is no list of unit ids. */
function unitsOf(text: string): number[] {
  if (!UNITS.test(text)) throw new Error(t("Unit ids are numbers and ranges, such as 1-10, 17."));
  const found = new Set<number>();
  for (const part of text.split(",")) {
    const [from = 0, to = from] = part.split("-").map(Number);
    if (from > to || to > 255) throw new Error(t("Unit ids go from 0 to 255."));
    for (let unit = from; unit <= to; unit++) found.add(unit);
  }
  return [...found];
}
