import type { JSX, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type ConfigCompletion, send } from "../api.ts";
import { t } from "../settings.ts";

/** A letter that was typed is asked for after a moment; the next one takes its place. */
const ASK_AFTER_MS = 120;
const LINE_PX = 20;
const TOP_PX = 10;
const LEFT_PX = 12;
/** At most; as the style sheet has them. */
const LIST_WIDTH_PX = 320;
const LIST_HEIGHT_PX = 260;
const LIST = "completion";

export interface Completing {
  /** For the editor: what it is to screen readers, and which keys it gives away. */
  readonly props: {
    readonly "aria-autocomplete": "list";
    readonly "aria-controls"?: string;
    readonly "aria-activedescendant"?: string;
    readonly onKeyDown: (event: KeyboardEvent) => void;
    readonly onBlur: () => void;
    readonly onClick: () => void;
  };
  /** After each input. */
  typed(event: InputEvent): void;
  /** The list beside the caret; nothing while it is closed. */
  readonly list: JSX.Element | null;
}

interface Open {
  readonly found: ConfigCompletion;
  readonly chosen: number;
  readonly place: Place;
}

/** Pixels within the editor; `bottom` where there is no room below. */
interface Place {
  readonly left: number;
  readonly top?: number;
  readonly bottom?: number;
}

/**
 * What can stand at the caret, from the gateway's schema: opens while a word is typed, and with Ctrl+Space. Arrows choose, Enter and Tab
 * take, Escape closes. Focus stays in the editor.
 */
export function useCompletion(
  area: RefObject<HTMLTextAreaElement | null>,
  setText: (text: string) => void,
): Completing {
  const [open, setOpen] = useState<Open | undefined>();
  const timer = useRef(0);
  const asked = useRef(0);
  const close = () => {
    clearTimeout(timer.current);
    asked.current += 1;
    setOpen(undefined);
  };
  useEffect(() => close, []);
  const ask = async () => {
    const { current } = area;
    if (!current) return;
    const number = ++asked.current;
    const offset = current.selectionStart;
    const found = await send<ConfigCompletion>("/config/complete", { text: current.value, offset }).catch(
      () => undefined,
    );
    // Whoever went on meanwhile is not disturbed.
    if (number !== asked.current || current.selectionStart !== offset || document.activeElement !== current) return;
    const useful = found && found.candidates.length > 0 && !isComplete(found, current.value);
    setOpen(
      useful ? { found: narrowed(found, current.value), chosen: 0, place: placeOf(current, found.from) } : undefined,
    );
  };
  const askSoon = () => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void ask(), ASK_AFTER_MS);
  };
  const take = (index: number) => {
    const { current } = area;
    const one = open?.found.candidates[index];
    if (!current || !open || !one) return;
    close();
    current.focus();
    current.setSelectionRange(open.found.from, open.found.to);
    // Deprecated, and the only way that leaves the browser's undo as it was.
    if (!document.execCommand("insertText", false, one.insert))
      current.setRangeText(one.insert, open.found.from, open.found.to, "end");
    setText(current.value);
    // What follows is chosen, too.
    if (/[\s{]$/.test(one.insert)) askSoon();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === " " && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void ask();
      return;
    }
    if (!open) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : undefined;
    const count = open.found.candidates.length;
    if (step !== undefined) setOpen({ ...open, chosen: (open.chosen + step + count) % count });
    else if (event.key === "Enter" || event.key === "Tab") take(open.chosen);
    else if (event.key === "Escape") close();
    else {
      if (/^(?:Arrow|Home|End|Page)/.test(event.key)) close();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return {
    props: {
      "aria-autocomplete": "list",
      ...(open ? { "aria-controls": LIST, "aria-activedescendant": `${LIST}-${open.chosen}` } : {}),
      onKeyDown,
      onBlur: close,
      onClick: close,
    },
    typed: ({ inputType, data }) => {
      const isWord = inputType === "insertText" && data?.length === 1 && /[\w ]/.test(data);
      if (isWord || (open !== undefined && inputType === "deleteContentBackward")) askSoon();
      else close();
    },
    list: open ? <List open={open} take={take} /> : null,
  };
}

/** What begins with what is written already comes first, then what has it somewhere. */
function narrowed(found: ConfigCompletion, text: string): ConfigCompletion {
  const word = text.slice(found.from, found.to).replace(/["']/g, "").toLowerCase();
  const starts = (label: string) => label.toLowerCase().startsWith(word);
  const holds = found.candidates.filter(({ label }) => label.toLowerCase().includes(word));
  const all = holds.length > 0 ? holds : found.candidates;
  return {
    ...found,
    candidates: [...all.filter(({ label }) => starts(label)), ...all.filter(({ label }) => !starts(label))],
  };
}

/** Nothing more is to be said of a word that stands there whole, or that nothing begins like. */
function isComplete(found: ConfigCompletion, text: string): boolean {
  const word = text.slice(found.from, found.to);
  if (word === "") return false;
  const like = found.candidates.filter(({ label }) => label.toLowerCase().includes(word.toLowerCase()));
  return like.length === 0 || (like.length === 1 && like[0]?.insert === word);
}

/** Below the line of an offset, or above it where there is no room. */
function placeOf(area: HTMLTextAreaElement, offset: number): Place {
  const before = area.value.slice(0, offset).split("\n");
  const beside = LEFT_PX + widthOf(area, before.at(-1) ?? "") - area.scrollLeft;
  const left = Math.max(0, Math.min(beside, area.clientWidth - LIST_WIDTH_PX));
  const top = TOP_PX + before.length * LINE_PX - area.scrollTop;
  const above = top - LINE_PX;
  if (area.clientHeight - top < LIST_HEIGHT_PX && above > area.clientHeight - top)
    return { left, bottom: area.clientHeight - above };
  return { left, top };
}

function widthOf(area: HTMLTextAreaElement, text: string): number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return 0;
  context.font = getComputedStyle(area).font;
  return context.measureText(text).width;
}

function styleOf({ left, top, bottom }: Place): Record<string, string> {
  return { left: `${left}px`, ...(top === undefined ? { bottom: `${bottom}px` } : { top: `${top}px` }) };
}

function List({ open, take }: { open: Open; take: (index: number) => void }): JSX.Element {
  const { found, chosen, place } = open;
  const list = useRef<HTMLDivElement>(null);
  const one = found.candidates[chosen];
  useEffect(() => list.current?.children[chosen]?.scrollIntoView({ block: "nearest" }), [chosen]);
  return (
    <div class="completion" style={styleOf(place)}>
      <div id={LIST} role="listbox" aria-label={t("What can stand here")} ref={list}>
        {found.candidates.map(({ label, required, type }, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the editor's, which keeps the focus
          <div
            key={label}
            id={`${LIST}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(index)}
          >
            <span class={required ? "needed" : ""}>{label}</span>
            <span class="kind">{required ? `${type} · ${t("needed")}` : type}</span>
          </div>
        ))}
      </div>
      {one !== undefined && one.description !== "" && <p class="about">{one.description}</p>}
    </div>
  );
}
