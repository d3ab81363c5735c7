import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** Two ends of a serial line without hardware. */
export interface PtyPair {
  readonly left: string;
  readonly right: string;
  /** Ends the helper process. Idempotent, never rejects. */
  close(): Promise<void>;
}

/**
 * Opens two pseudo-terminals, sets them to raw, prints their paths and carries bytes between them until its standard
 * input ends, which it does when the program that started it is gone. It holds the far ends open too, so that a reader
 * that leaves does not end the line. Needs nothing but perl-base; the ioctl numbers are those of x86 and ARM.
 */
const PERL = String.raw`
use strict; use POSIX ();
sub line {
  sysopen(my $near, "/dev/ptmx", 2 | 256) or die "ptmx: $!\n";
  my $unlock = pack("i", 0); ioctl($near, 0x40045431, $unlock) or die "unlock: $!\n";
  my $number = pack("i", 0); ioctl($near, 0x80045430, $number) or die "number: $!\n";
  my $path = "/dev/pts/" . unpack("i", $number);
  sysopen(my $far, $path, 2 | 256) or die "$path: $!\n";
  my $raw = POSIX::Termios->new; $raw->getattr(fileno $far);
  $raw->setiflag(0); $raw->setoflag(0); $raw->setlflag(0);
  $raw->setcflag(POSIX::CS8() | POSIX::CREAD() | POSIX::CLOCAL());
  $raw->setattr(fileno $far, POSIX::TCSANOW());
  return ($near, $far, $path);
}
my ($a, $keepA, $pathA) = line(); my ($b, $keepB, $pathB) = line();
binmode $_ for $a, $b; $| = 1; print "$pathA $pathB\n";
my $watch = ""; vec($watch, $_, 1) = 1 for fileno(STDIN), fileno $a, fileno $b;
while (1) {
  my $ready = $watch; next if select($ready, undef, undef, undef) < 1;
  if (vec($ready, fileno(STDIN), 1)) { sysread(STDIN, my $x, 64) or exit 0; }
  for ([$a, $b], [$b, $a]) {
    next unless vec($ready, fileno $_->[0], 1);
    sysread($_->[0], my $bytes, 4096) or exit 1;
    my $at = 0;
    while ($at < length $bytes) { $at += syswrite($_->[1], $bytes, length($bytes) - $at, $at) // exit 1; }
  }
}
`;

const READY_MS = 5_000;

/** @returns undefined when this machine has neither perl nor socat, or no pseudo-terminals. */
export async function openPtyPair(): Promise<PtyPair | undefined> {
  return (await withPerl()) ?? (await withSocat());
}

export async function withPerl(): Promise<PtyPair | undefined> {
  const child = spawn("perl", ["-e", PERL], { stdio: ["pipe", "pipe", "ignore"] });
  const failed = new Promise<undefined>((resolve) => {
    child.on("error", () => resolve(undefined));
    child.on("exit", () => resolve(undefined));
  });
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout });
  // It passes the errors of its input on; that the child is gone is seen by its exit.
  lines.on("error", () => {});
  const first = new Promise<string>((resolve) => lines.once("line", resolve));
  const line = await soon(Promise.race([first, failed]));
  lines.close();
  const [left, right] = line?.split(" ") ?? [];
  if (left === undefined || right === undefined) {
    await end(child);
    return undefined;
  }
  return { left, right, close: () => end(child) };
}

export async function withSocat(): Promise<PtyPair | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-pty-"));
  const left = join(folder, "a");
  const right = join(folder, "b");
  const child = spawn("socat", ["-d", "-d", `pty,raw,echo=0,link=${left}`, `pty,raw,echo=0,link=${right}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const close = async (): Promise<void> => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  const failed = new Promise<false>((resolve) => {
    child.on("error", () => resolve(false));
    child.on("exit", () => resolve(false));
  });
  const started = new Promise<true>((resolve) => {
    const lines = createInterface({ input: child.stderr });
    lines.on("error", () => {});
    lines.on("line", (text) => {
      if (text.includes("starting data transfer loop")) resolve(true);
    });
  });
  if ((await soon(Promise.race([started, failed]))) !== true) {
    await close();
    return undefined;
  }
  return { left, right, close };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  const late = delay(READY_MS, undefined, { signal: timer.signal }).catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
