import { get, type PendingView } from "./api.ts";
import { Store } from "./store.ts";

/** How often it is asked for: while a change is on probation, and while there is none. */
const SOON_MS = 1_000;
const SELDOM_MS = 10_000;

/** The change of the configuration that waits for its confirmation; undefined until the gateway said. */
export const pending = new Store<PendingView | undefined>(undefined);
/** When `pending` was told, by `performance.now()`. */
let toldMs = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let running = false;

export function told(view: PendingView): void {
  toldMs = performance.now();
  pending.set(view);
  if (running) next();
}

/** Seconds until it goes back, by now. */
export function secondsLeft({ leftMs = 0 }: PendingView): number {
  return Math.max(0, Math.ceil((leftMs - (performance.now() - toldMs)) / 1000));
}

export function watchPending(): () => void {
  running = true;
  void ask();
  return () => {
    running = false;
    clearTimeout(timer);
  };
}

/** The gateway may be restarting its parts: then it is asked again. */
async function ask(): Promise<void> {
  try {
    told(await get<PendingView>("/config/pending"));
  } catch {
    if (running) next();
  }
}

function next(): void {
  clearTimeout(timer);
  const idle = pending.value === undefined || pending.value.state === "none";
  timer = setTimeout(() => void ask(), idle ? SELDOM_MS : SOON_MS);
}
