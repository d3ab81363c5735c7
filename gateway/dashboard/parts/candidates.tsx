import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Interpretations } from "../api.ts";
import { shown } from "../format.ts";
import { t } from "../settings.ts";
import { Table } from "./ui.tsx";

/** All that registers can mean, side by side, each with its line for the configuration. */
export function Candidates({ found }: { found: Interpretations }): JSX.Element {
  const [name, setName] = useState("");
  const [line, setLine] = useState<string | undefined>();
  const [told, setTold] = useState("");
  const copy = async (config: string) => {
    const text = config.replace("NAME", nameOf(name));
    setLine(text);
    try {
      await navigator.clipboard.writeText(text);
      setTold(t("Copied. Put it under the tags of the device."));
    } catch {
      setTold(t("Copy this line under the tags of the device:"));
    }
  };
  if (found.refused !== undefined) return <p class="problem">{found.refused}</p>;
  return (
    <>
      <p class="note">
        {t("Registers from {address}:", { address: found.address })} <code>{found.words.join(" ")}</code>
      </p>
      <label class="field">
        <span>{t("Name of the tag")}</span>
        <input
          value={name}
          placeholder="temperature"
          autoComplete="off"
          onInput={({ currentTarget }) => setName(currentTarget.value)}
        />
      </label>
      <Table
        label={t("What the registers can mean")}
        columns={[
          { title: t("Type"), cell: ({ type, bit }) => (bit === undefined ? type : `${type}, ${t("bit")} ${bit}`) },
          { title: t("Byte order"), cell: ({ order }) => order },
          {
            title: t("Value"),
            number: true,
            cell: ({ values }) => <strong class="value">{shown(values.at(-1) ?? null)}</strong>,
          },
          { title: t("Why"), cell: ({ why, fits }) => [...(fits ? [t("fits")] : []), ...why].join(", ") },
          { title: t("The same"), cell: ({ same }) => <span class="note">{same.join(", ")}</span> },
          {
            title: t("Configuration"),
            cell: ({ config, type, order }) => (
              <button
                type="button"
                aria-label={t("Copy line for {type}", { type: `${type} ${order}` })}
                onClick={() => void copy(config)}
              >
                {t("Copy line")}
              </button>
            ),
          },
        ]}
        rows={found.candidates}
        keyOf={({ config }) => config}
        empty={t("Nothing fits.")}
      />
      <p role="status" class="told">
        {told}
      </p>
      {line !== undefined && <code class="block">{line}</code>}
    </>
  );
}

/** Fit to stand in the line as it is. */
function nameOf(text: string): string {
  const name = text.trim();
  if (name === "") return "NAME";
  return /^[A-Za-z][\w.-]*$/.test(name) ? name : JSON.stringify(name);
}
