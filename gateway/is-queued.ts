import { Buffer } from "node:buffer";
import type { LevelQueue } from "./queue/level-queue.ts";

/** How long a command's result is looked for in the queue; then it is told once more. */
const FIND_MS = 30_000;

/** Whether an event with this topic and body is in the queue with this seq or a later one. @throws when it cannot be read. */
export async function isQueued(
  inspector: ReturnType<LevelQueue["inspector"]>,
  topic: string,
  body: string,
  seq: number,
): Promise<boolean> {
  const query = { stream: "events" as const, from: seq };
  for await (const chunk of inspector.records(query, AbortSignal.timeout(FIND_MS))) {
    for (const found of chunk) {
      if (found.kind !== "record") continue;
      const { content } = found.entry;
      if (content.kind === "message" && content.topic === topic && textOf(content.payload) === body) return true;
    }
  }
  return false;
}

function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8");
}
