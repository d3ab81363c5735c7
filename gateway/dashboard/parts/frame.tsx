import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Overview } from "../api.ts";
import { connected, overview } from "../live.ts";
import { language, t, theme, word } from "../settings.ts";
import { useStore } from "../store.ts";
import { Pill } from "./ui.tsx";

/** Theme and language. */
export function Settings(): JSX.Element {
  const look = useStore(theme);
  const tongue = useStore(language);
  return (
    <span class="settings">
      <label>
        <span class="unseen">{t("Theme")}</span>
        <select
          value={look}
          onChange={({ currentTarget: { value } }) => theme.set(value === "light" || value === "dark" ? value : "auto")}
        >
          <option value="auto">{t("As the system")}</option>
          <option value="light">{t("Light")}</option>
          <option value="dark">{t("Dark")}</option>
        </select>
      </label>
      <label>
        <span class="unseen">{t("Language")}</span>
        <select value={tongue} onChange={({ currentTarget: { value } }) => language.set(value === "zh" ? "zh" : "en")}>
          <option value="en" lang="en">
            English
          </option>
          <option value="zh" lang="zh-Hans">
            中文
          </option>
        </select>
      </label>
    </span>
  );
}

/** Whether what is shown is live. */
export function Stream(): JSX.Element {
  const live = useStore(connected);
  return <Pill state={live ? "good" : "connecting"} text={live ? t("live") : t("connecting …")} />;
}

/** Tells a screen reader of changes of links, devices and uplinks, and only of those. */
export function Announcer(): JSX.Element {
  const now = useStore(overview);
  const [text, setText] = useState("");
  const before = useRef<Map<string, string> | undefined>(undefined);
  useEffect(() => {
    if (!now) return;
    const states = statesOf(now);
    const changes = [...states].filter(([name, state]) => before.current && before.current.get(name) !== state);
    before.current = states;
    if (changes.length > 0)
      setText(
        changes
          .slice(0, 5)
          .map(([name, state]) => `${name}: ${word(state)}`)
          .join("; "),
      );
  }, [now]);
  return (
    <div class="unseen" role="status" aria-live="polite">
      {text}
    </div>
  );
}

function statesOf({ links, devices, uplinks }: Overview): Map<string, string> {
  return new Map([...links, ...devices, ...uplinks].map(({ name, state }) => [name, state]));
}
