import { messageOf } from "../core/errors.ts";
import type { ReloadState } from "../reload/desk.ts";
import type { Reloader } from "../reload/reloader.ts";

/** What the control socket needs of reloading. */
export interface ReloadSource extends Reloader {
  readonly state: ReloadState;
}

/**
 * `POST /reload`, and `?dry=1` for the plan alone. A reload is answered when it is done, or, where the gateway that is asked has to stop
 * for it, at once: `GET /reload` tells then how it went, from the next one too.
 * @throws ConfigFaults when the file is wrong.
 */
export async function answerReload(source: ReloadSource, params: URLSearchParams): Promise<unknown> {
  const plan = await source.plan();
  if (params.get("dry") === "1") return { plan };
  const done = source.reload(`local user ${params.get("user") ?? "unknown"}`);
  const { number } = source.state;
  if (!plan.whole) return { number, state: "applied", plan: await done };
  // Whoever asked looks by itself how it went; the log has it too.
  done.catch((error: unknown) => messageOf(error));
  return { number, state: "running", plan };
}
