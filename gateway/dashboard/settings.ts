import { Store } from "./store.ts";
import { type Phrase, states, zh } from "./words/zh.ts";

export type Theme = "auto" | "light" | "dark";
export type Language = "en" | "zh";

const kept = (key: string) => {
  try {
    return localStorage.getItem(`millrace.${key}`);
  } catch {
    return null;
  }
};
const keep = (key: string, value: string) => {
  try {
    localStorage.setItem(`millrace.${key}`, value);
  } catch {
    // Storage is switched off: it holds for this view only.
  }
};

const keptTheme = kept("theme");
const keptLanguage = kept("language");
export const theme = new Store<Theme>(keptTheme === "light" || keptTheme === "dark" ? keptTheme : "auto");
export const language = new Store<Language>(
  keptLanguage === "en" || keptLanguage === "zh" ? keptLanguage : navigator.language.startsWith("zh") ? "zh" : "en",
);

export function applySettings(): void {
  const { documentElement: root } = document;
  const show = () => {
    if (theme.value === "auto") delete root.dataset["theme"];
    else root.dataset["theme"] = theme.value;
    root.lang = language.value === "zh" ? "zh-Hans" : "en";
  };
  theme.watch(() => {
    keep("theme", theme.value);
    show();
  });
  language.watch(() => {
    keep("language", language.value);
    show();
  });
  show();
}

/** A phrase in the language of the page, with `{names}` filled in. */
export function t(phrase: Phrase, values: Readonly<Record<string, string | number>> = {}): string {
  const text: string = language.value === "zh" ? zh[phrase] : phrase;
  return text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A word that comes from the gateway: translated where it is known, otherwise as it is. */
export function word(text: string): string {
  return language.value === "zh" ? (states[text] ?? text) : text;
}

export const locale = () => (language.value === "zh" ? "zh-CN" : "en-GB");
