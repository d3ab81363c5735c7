import type { Auditor } from "../../core/audit.ts";
import type { SupportFile } from "../../core/support.ts";
import { by } from "./account-parts.ts";
import { type Route, route } from "./route.ts";

/** Everything that somebody elsewhere needs to help, as one file. */
export function supportRoutes(make: () => Promise<SupportFile>, audit: Auditor): Route[] {
  return [
    route({
      id: "getSupportBundle",
      method: "GET",
      path: "/support",
      summary:
        "A support bundle: configuration, status, metrics, log, queue, audit trail, as millrace support makes it.",
      tag: "data",
      needs: "administer",
      type: "application/gzip",
      handle: async ({ principal }) => {
        const { name, bytes } = await make();
        await audit.record(by(principal, "support.bundle"));
        return { type: "application/gzip", file: name, pieces: once(bytes) };
      },
    }),
  ];
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
