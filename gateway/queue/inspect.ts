/** What commands are given of the queue of a gateway that is not running, and of its backups. */
export { type BackupManifest, type OnProgress, writeBackup } from "./backup.ts";
export { lockHolder } from "./lock-holder.ts";
export { type Replaced, resetQueue, restoreQueue } from "./replace.ts";
export { StoppedInspector, type StoppedParts } from "./stopped.ts";
