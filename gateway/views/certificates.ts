import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { UplinkView } from "../http/api/schemas.ts";

const DAY_MS = 86_400_000;
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/;

/** The certificates that options name under `tls`, own and authority, and for how long they are good. Never rejects. */
export async function certificatesOf(
  options: unknown,
  folder: string,
  nowMs: number,
): Promise<UplinkView["certificates"]> {
  const tls = isRecord(options) && isRecord(options["tls"]) ? options["tls"] : {};
  const files = [tls["cert"], tls["ca"]].filter((file) => typeof file === "string");
  return await Promise.all(
    files.map(async (file) => {
      try {
        const pem = BLOCK.exec(await readFile(resolve(folder, file), "utf8"))?.[0];
        if (pem === undefined) return { file, subject: "", error: "there is no certificate in it" };
        const { subject, validTo } = new X509Certificate(pem);
        const until = Date.parse(validTo);
        return {
          file,
          subject: subject.replaceAll("\n", ", "),
          validTo: until,
          daysLeft: Math.floor((until - nowMs) / DAY_MS),
        };
      } catch (error) {
        return { file, subject: "", error: messageOf(error) };
      }
    }),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
