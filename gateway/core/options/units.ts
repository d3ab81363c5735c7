import { z } from "zod";

/** Values that carry their unit in the configuration, and are plain numbers in one base unit everywhere else. */

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const SIZE = /^(\d+(?:\.\d+)?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;

/** `500ms`, `1.5s`, `10m`, `12h`, `7d` as milliseconds; undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  return match ? Number(match[1]) * (DURATION_MS[match[2] ?? ""] ?? Number.NaN) : undefined;
}

/** `64KiB`, `2GiB`, `500MB` as bytes; undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text);
  return match ? Math.round(Number(match[1]) * (SIZE_BYTES[match[2] ?? ""] ?? Number.NaN)) : undefined;
}

/** A duration of at least `minMs`, in milliseconds after parsing. */
export function duration(minMs = 0, maxMs = Number.MAX_SAFE_INTEGER) {
  return z
    .string({ error: "a duration with its unit is needed, such as 500ms, 1s, 10m, 12h or 7d" })
    .regex(DURATION, "a duration with its unit is needed, such as 500ms, 1s, 10m, 12h or 7d")
    .transform((text) => parseDuration(text) ?? 0)
    .refine((ms) => ms >= minMs, `must be at least ${formatDuration(minMs)}`)
    .refine((ms) => ms <= maxMs, `must be at most ${formatDuration(maxMs)}`);
}

/** A size of at least `minBytes`, in bytes after parsing. */
export function size(minBytes = 0) {
  return z
    .string({ error: "a size with its unit is needed, such as 64KiB, 16MiB or 2GiB" })
    .regex(SIZE, "a size with its unit is needed, such as 64KiB, 16MiB or 2GiB")
    .transform((text) => parseSize(text) ?? 0)
    .refine((bytes) => bytes >= minBytes, `must be at least ${formatSize(minBytes)}`);
}

/** Milliseconds for people: `61 h`, `12 s`, `500 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${trim(ms / 1000)} s`;
  if (ms < 7_200_000) return `${trim(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${trim(ms / 3_600_000)} h`;
  return `${trim(ms / 86_400_000)} d`;
}

/** Bytes for people: `2 GiB`, `1.5 MiB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  if (bytes < 1024 ** 2) return `${trim(bytes / 1024)} KiB`;
  if (bytes < 1024 ** 3) return `${trim(bytes / 1024 ** 2)} MiB`;
  if (bytes < 1024 ** 4) return `${trim(bytes / 1024 ** 3)} GiB`;
  return `${trim(bytes / 1024 ** 4)} TiB`;
}

function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
}

/** Names of systemd's credentials are names of files; these need no quoting in a unit either. */
const CREDENTIAL = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,255}$/;

/** Where a secret is kept; never the secret itself. The loader turns it into a `Secret`. */
export const secretRef = z.union(
  [
    z.strictObject({ env: z.string().min(1) }),
    z.strictObject({ file: z.string().min(1) }),
    z.strictObject({
      credential: z
        .string()
        .regex(
          CREDENTIAL,
          "a name of letters, digits, dots, hyphens and underscores is needed, as in LoadCredential=NAME:/path",
        ),
    }),
  ],
  { error: "a secret is given as { env: NAME }, { file: path } or { credential: name }, never as text" },
);
export type SecretRef = z.infer<typeof secretRef>;
