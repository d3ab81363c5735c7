import { z } from "zod";
import type { DriverModule } from "../../core/driver.ts";
import { tagShape } from "../../core/options/link.ts";
import type { ImportedRow } from "./tag.ts";

const sharedTag = z.strictObject(tagShape);

/** What the driver says about each row; nothing where it is right. All rows are tags of one device. */
export function faultsOf(rows: readonly ImportedRow[], driver: DriverModule): ReadonlyMap<ImportedRow, string> {
  const faults = new Map<ImportedRow, string>();
  const parsed: { row: ImportedRow; tag: object }[] = [];
  for (const row of rows) {
    const { every: _, unit: __, name, ...own } = row.tag;
    const { every, unit } = row.tag;
    const shared = sharedTag.safeParse({ name, ...(every && { every }), ...(unit && { unit }) });
    const result = driver.tagSchema.safeParse(own);
    if (!shared.success)
      faults.set(row, shared.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
    else if (result.success) parsed.push({ row, tag: { name, ...result.data } });
    else faults.set(row, result.error.issues.map(({ message }) => message).join("; "));
  }
  const link = driver.linkSchema.safeParse({ transport: { type: "tcp", host: "localhost" } });
  const device = driver.deviceSchema.safeParse({ unit: 1 });
  if (!link.success || !device.success) return faults;
  const tags = parsed.map(({ tag }) => tag);
  for (const { path, message } of driver.check({ ...link.data, devices: [{ ...device.data, tags }] })) {
    const row = parsed[Number(path[3])]?.row;
    if (row !== undefined && !faults.has(row)) faults.set(row, message);
  }
  return faults;
}
