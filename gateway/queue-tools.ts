import type { QueueTools } from "./cli/queue/tools.ts";
import { deadLetterLines, uplinksWithDeadLetters } from "./northbound/dead-letter-files.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import { lockHolder, resetQueue, restoreQueue, StoppedInspector, writeBackup } from "./queue/inspect.ts";

/** What `millrace queue` is made of. */
export const queueTools: QueueTools = {
  stopped: (parts) => StoppedInspector.open(parts),
  lockHolder,
  deadLetters: { uplinks: uplinksWithDeadLetters, lines: deadLetterLines },
  line: storedLine,
  backup: writeBackup,
  restore: restoreQueue,
  reset: resetQueue,
};
