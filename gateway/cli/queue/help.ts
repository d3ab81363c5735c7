import { WHERE_HELP } from "./where.ts";

const COMMON = `${WHERE_HELP}
  -h, --help          this text`;

export const HELP = `millrace queue - look into the queue, running or stopped, and take care of it

Usage: millrace queue COMMAND [options]

  stats            depth, bytes, age, rates, gaps, and how long the card lasts
  peek             the oldest records, one line of JSON each
  export           all records, or some, as lines of JSON, with progress
  dead-letters     what the far side of an uplink refused for good; export shows it
  forget UPLINK    gives up what an uplink that is gone was owed
  backup DIR       a consistent copy, with checksums
  restore DIR      puts a backup in the place of the queue of a stopped gateway
  reset --yes      factory reset of the queue of a stopped gateway

Of a running gateway it asks on its control socket; a stopped one's queue is read as it lies, without changing it.
Each has --help with an example. Exit: 0 done, 1 something was damaged or it was stopped by a signal, 64 usage,
69 the gateway does not answer, 74 the disk refuses, 78 it cannot be done as things are; the message says the cure.

Example: millrace queue stats --config /etc/millrace/millrace.yaml
`;

export const STATS_HELP = `millrace queue stats - what the queue holds, for whom, how fast, and what it costs the card

Usage: millrace queue stats [--json] [--config FILE | --data DIR]

${COMMON}
      --json          everything, as JSON

The life of the card is an estimate: bytes handed to the file system in the last ten minutes, and 8.5 kB for each fsync
(measured on ext4), against queue.endurance of the configuration (default 2.4TB, a 32 GB card of 300 cycles).
Changes nothing: neither the epoch nor what verify finds.

Example: millrace queue stats
`;

export const PEEK_HELP = `millrace queue peek - the oldest records, one line of JSON each

Usage: millrace queue peek [--uplink NAME] [--stream events|telemetry] [--limit N]

      --uplink NAME   only what this uplink is still owed
      --stream NAME   only this stream
      --limit N       at most so many (default 10)
${COMMON}

Changes nothing: delivery goes on, and neither the epoch nor what verify finds is touched.

Example: millrace queue peek --uplink cloud --stream events --limit 3
`;

export const EXPORT_HELP = `millrace queue export - records as lines of JSON

Usage: millrace queue export [--uplink NAME] [--stream NAME] [--from SEQ] [--to SEQ] [--out FILE]

      --uplink NAME   only what this uplink is still owed; else everything that is on disk
      --stream NAME   events or telemetry
      --from SEQ      from this seq on; --to SEQ up to this one
      --out FILE      into a file, which is there only when it is whole (default: stdout)
${COMMON}

One record a line: stream, seq, epoch, id, clock, boot, mono, topic, ts, then values and errors, or a message's text or
base64. Progress goes to a terminal on stderr; what was damaged is told there at the end (exit 1).
Changes nothing: delivery goes on, and neither the epoch nor what verify finds is touched.

Example: millrace queue export --stream telemetry --out telemetry.ndjson
`;

export const FORGET_HELP = `millrace queue forget - gives up what an uplink is owed

Usage: millrace queue forget UPLINK [--yes]

      --yes           also an uplink that the configuration still has
      --json          the result as JSON
${COMMON}

An uplink that was taken out of the configuration holds its data until it is forgotten. Then its cursor is gone, and disk
that nobody else needs is freed (of a stopped gateway: at its next start).
Epoch: stays. verify at that uplink's receiver: what it has stays proven, nothing tells it that the rest will not come.
With --yes for an uplink of the configuration: it stays, its backlog is dropped and told as a gap; verify counts the gap.

Example: millrace queue forget old-cloud
`;

export const BACKUP_HELP = `millrace queue backup - a consistent copy of the queue

Usage: millrace queue backup DIR

      --json          the result as JSON
${COMMON}

DIR must not exist or be empty. Of a running gateway too: incoming records wait for as long as linking the files takes.
Files are linked where DIR is on the same disk (they never change, and take no room until the queue lets go of them), and
copied elsewhere; manifest.json has their checksums and is written last. For safety against the disk, name another disk.
Epoch: stays. verify: sees nothing of it.

Example: millrace queue backup /media/usb/millrace-2026-11-23
`;

export const RESTORE_HELP = `millrace queue restore - puts a backup in the place of the queue of a stopped gateway

Usage: millrace queue restore DIR [--yes]

      --yes           also when the queue that is there still owes records; they are lost
      --json          the result as JSON
${COMMON}

The backup is checked as a whole before anything is changed. If it is interrupted after that, run it again.
Epoch: a new one begins at the next start, since it cannot be shown that nothing is missing between the backup and now.
verify: the backup's records come under their old ids, those delivered since as duplicates. New records are a new chain
that begins with prev 0. What was taken after the backup and never delivered is missing without a gap: the old epoch's last
status (taken against received) is all that shows it.

Example: millrace queue restore /media/usb/millrace-2026-11-23
`;

export const RESET_HELP = `millrace queue reset - factory reset of the queue of a stopped gateway

Usage: millrace queue reset --yes

      --yes           needed: everything that was not delivered is lost
      --json          the result as JSON
${COMMON}

Removes segments, cursors, the list of uplinks and the quarantine. Keeps the configuration, and what is known of the clock.
Epoch: a new one begins at the next start, in a new store.
verify: what it has stays proven. What was not delivered is missing without a gap: the old epoch's last status (taken
against received) is all that shows it. New records are a new chain that begins with prev 0.

Example: millrace queue backup /media/usb/before && millrace queue reset --yes
`;
