import type { SupportTools } from "./cli/support.ts";
import { lockHolder, StoppedInspector } from "./queue/inspect.ts";
import { supportBundle } from "./support-bundle.ts";

/** What `millrace support` is made of where no gateway answers. */
export const supportTools: SupportTools = {
  lockHolder,
  bundle: ({ maxBytes, uplinks, ...parts }) =>
    supportBundle({
      ...parts,
      queueStats: async () => {
        const { dataDir } = parts;
        if (dataDir === undefined) throw new Error("the data folder is not known");
        const holder = await lockHolder(dataDir);
        if (holder !== undefined) throw new Error(`process ${holder} has it open and does not answer`);
        return await (await StoppedInspector.open({ dataDir, configured: uplinks, maxBytes })).stats();
      },
    }),
};
