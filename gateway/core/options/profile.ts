import { z } from "zod";

const names = z.array(z.string().min(1)).min(1);

/** Keys of a device that take tags from a device profile; they are worked off before the rest is looked at. */
export const profileShape = {
  profile: z
    .union([z.string().min(1), names], { error: "a profile is needed, such as eastron/sdm120, or a list of them" })
    .optional()
    .describe("Device profile with tags and limits, `vendor/model`; of a list later ones count more."),
  parameters: z
    .record(z.string(), z.union([z.number(), z.string(), z.boolean()]))
    .optional()
    .describe("Values for the parameters of the profile."),
  only: names.optional().describe("Only these tags of the profile; `*` stands for any text."),
  except: names.optional().describe("Not these tags of the profile; `*` stands for any text."),
} as const;
export const profileKeys = z.strictObject(profileShape);
