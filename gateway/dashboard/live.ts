import type { Overview, TagState } from "./api.ts";
import { Store } from "./store.ts";

/** How long after a broken stream it is asked for again. */
const AGAIN_MS = 2_000;

/** What goes on, as the gateway sends it; undefined until it did. */
export const overview = new Store<Overview | undefined>(undefined);
/** Whether the stream of events is there. */
export const connected = new Store(false);

type TagsListener = (tags: readonly TagState[]) => void;

let source: EventSource | undefined;
let again: ReturnType<typeof setTimeout> | undefined;
let device: string | undefined;
let onTags: TagsListener | undefined;
let onEnd: () => void = () => {};
let frame = 0;
let running = false;
let newest: Overview | undefined;
let waiting: TagState[] = [];

/** Follows the gateway's events until `stop`. */
export function start(ended: () => void): void {
  onEnd = ended;
  running = true;
  open();
}

export function stop(): void {
  running = false;
  close();
  overview.set(undefined);
}

/** Also follows the tags of a device; gives back how to end that. Changes arrive at most once a frame. */
export function follow(name: string, listener: TagsListener): () => void {
  device = name;
  onTags = listener;
  if (running) open();
  return () => {
    if (onTags !== listener) return;
    device = undefined;
    onTags = undefined;
    waiting = [];
    if (running) open();
  };
}

function close(): void {
  clearTimeout(again);
  source?.close();
  source = undefined;
  connected.set(false);
}

function open(): void {
  close();
  const query = device === undefined ? "" : `?device=${encodeURIComponent(device)}`;
  const opened = new EventSource(`/api/v1/events${query}`);
  source = opened;
  opened.addEventListener("open", () => connected.set(true));
  opened.addEventListener("overview", ({ data }) => {
    newest = JSON.parse(data);
    soon();
  });
  opened.addEventListener("tags", ({ data }) => {
    const { device: name, tags } = JSON.parse(data);
    if (name !== device) return;
    waiting.push(...tags);
    soon();
  });
  opened.addEventListener("end", () => {
    stop();
    onEnd();
  });
  opened.addEventListener("error", () => {
    connected.set(false);
    if (opened.readyState !== EventSource.CLOSED || source !== opened) return;
    again = setTimeout(open, AGAIN_MS);
  });
}

/** All that came since the last frame is drawn at once. A page that is not seen draws nothing, and keeps the newest of each tag. */
function soon(): void {
  if (document.hidden && waiting.length > 20_000) waiting = [...new Map(waiting.map((one) => [one.tag, one])).values()];
  if (frame !== 0) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (newest) overview.set(newest);
    newest = undefined;
    const tags = waiting;
    waiting = [];
    if (tags.length > 0) onTags?.(tags);
  });
}
