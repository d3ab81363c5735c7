import type { QueueTools } from "./cli/queue/tools.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import { lockHolder, resetQueue, restoreQueue, StoppedInspector, writeBackup } from "./queue/inspect.ts";

/** What `millrace queue` is made of. */
export const queueTools: QueueTools = {
  stopped: (parts) => StoppedInspector.open(parts),
  lockHolder,
  line: storedLine,
  backup: writeBackup,
  restore: restoreQueue,
  reset: resetQueue,
};
