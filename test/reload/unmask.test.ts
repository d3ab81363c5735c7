import { describe, expect, it } from "vitest";
import { maskSecrets } from "../../gateway/views/config-work.ts";
import { unmask } from "../../gateway/views/unmask.ts";

const FILE = `gateway: { id: gw }
uplinks:
  - name: cloud # the first
    url: mqtts://user:pa55@broker.example:8883
    password: "it's \\"here\\""
    # token: hidden-in-a-comment
  - { name: copy, type: mqtt, password: plain, secret: { env: NAME } }
broker:
  users:
    - { name: hmi, password: 'one' }
    - { name: mes, password: 'two' }
`;

describe("secrets that are masked in the editor", () => {
  it("are those of the file again when the text comes back as it was", () => {
    const masked = maskSecrets(FILE).text;
    expect(masked).not.toMatch(/pa55|here\\|hidden|plain|one|two/);
    expect(unmask(masked, FILE, "m.yaml")).toBe(FILE);
  });

  it("follow their entries by name, wherever they are moved", () => {
    const masked = maskSecrets(FILE).text;
    const [hmi, mes] = masked.split("\n").filter((line) => line.includes("hmi") || line.includes("mes,"));
    const swapped = masked.replace(`${hmi}\n${mes}`, `${mes}\n${hmi}`);
    const text = unmask(swapped, FILE, "m.yaml");
    expect(text).toContain(`    - { name: mes, password: 'two' }\n    - { name: hmi, password: 'one' }`);
  });

  it("leave alone what was written anew", () => {
    const text = maskSecrets(FILE).text.replace(`name: hmi, password: "[secret]"`, `name: hmi, password: "new"`);
    expect(unmask(text, FILE, "m.yaml")).toContain(`name: hmi, password: "new"`);
  });

  it("are refused with their line where none stands for them", () => {
    const text = `${maskSecrets(FILE).text}    - { name: other, password: "[secret]" }\n`;
    expect(() => unmask(text, FILE, "m.yaml")).toThrow(
      /^m\.yaml:12:\d+: broker\.users\[other\]\.password: no secret stands here to be kept; write it, .*\{ env: NAME \}$/,
    );
  });
});
