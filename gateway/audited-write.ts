import type { Auditor } from "./core/audit.ts";
import type { TagWrite, WriteResult } from "./core/driver.ts";
import { messageOf } from "./core/errors.ts";

/** A write that came by MQTT or by a recipe, written down with what became of it. Does not wait for that. */
export async function auditedWrite(
  audit: Auditor,
  device: string,
  writes: readonly TagWrite[],
  write: () => Promise<WriteResult[]>,
): Promise<WriteResult[]> {
  const asked = writes.map(({ tag, value }) => `${tag.name}=${value}`).join(" ");
  const tell = (failed?: string) =>
    void audit.record({
      actor: "command",
      action: "tag.write",
      target: device,
      outcome: failed === undefined ? "ok" : "failed",
      detail: failed === undefined ? asked : `${asked}; ${failed}`,
    });
  try {
    const results = await write();
    tell(results.find(({ ok }) => !ok)?.reason);
    return results;
  } catch (error) {
    tell(messageOf(error));
    throw error;
  }
}
