import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { modbusModule } from "../../drivers/modbus/module.ts";
import { decodeText, readCsv } from "../../gateway/cli/import/csv.ts";
import { runImport } from "../../gateway/cli/import.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { testIo } from "./io.ts";

const KEPWARE =
  "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value\r\n";

async function run(table: string | Uint8Array, args: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "millrace-import-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "t.csv"), table);
  const io = testIo({ cwd: folder });
  const code = await runImport(["t.csv", ...args], io, { driver: modbusModule });
  return { code, out: io.stdout(), err: io.stderr(), folder };
}

const tagsIn = (yaml: string): unknown => parse(yaml)["tags"];

describe("millrace import", () => {
  it("takes Kepware's table, and names each row that it cannot take", async () => {
    const rows = [
      '"Press.Temp","400001",Float,1,R/W,1000,,,,,,,,,"°C","Oil, ""hot""",',
      '"Running","40001.3",Boolean,1,RO,200,,,,,,,,,"","",',
      '"Level","300010",Word,1,RO,500,Linear,0,1000,-20,80,Float,0,0,"%","two\nlines",',
      '"Arr","400100[5]",Word,1,RO,100,,,,,,,,,"","",',
      '"Sqrt","400101",Word,1,RO,100,Square Root,0,1,0,1,Float,0,0,"","",',
      '"Text","400200.10L",String,1,RO,1000,,,,,,,,,"","",',
      '"Coil 3","000003",Boolean,1,R/W,1000,,,,,,,,,"","",',
      '"Neg","400300",QWord,1,RO,1000,,,,,,,,,"","",1',
      '"NoBit","400302",Boolean,1,RO,100,,,,,,,,,"","",',
      '"Date","400303",Date,1,RO,100,,,,,,,,,"","",',
      '"Far","465536",Long,1,RO,100,,,,,,,,,"","",',
    ];
    const { code, out, err } = await run(KEPWARE + rows.join("\r\n"), ["--order", "CDAB"]);
    expect(tagsIn(out)).toEqual([
      { name: "Press.Temp", address: "400001", type: "float32", order: "CDAB", unit: "°C" },
      { name: "Running", address: "40001.3", type: "bool", every: "200ms" },
      { name: "Level", address: "300010", type: "uint16", scale: 0.1, offset: -20, unit: "%", every: "500ms" },
      { name: "Text", address: "400200", type: "string(10)", order: "BA" },
      { name: "Coil_3", address: "000003", type: "bool" },
      { name: "Neg", address: "400300", type: "uint64", order: "GHEFCDAB", scale: -1 },
    ]);
    expect(code).toBe(1);
    expect(err.trimEnd().split("\n")).toEqual([
      't.csv:6: not taken: "400100[5]" is an array: import its elements one by one',
      't.csv:7: not taken: scaling "Square Root" has no counterpart here; only Linear has',
      't.csv:11: not taken: the Boolean at "400302" has no bit, such as 400302.0',
      "t.csv:12: not taken: data type Date has no counterpart here",
      "t.csv:13: not taken: Far: int32 needs 2 registers, but holding ends at 65535: start at 65534 or below",
      "6 of 11 rows taken as kepware",
    ]);
  });

  it("says that Kepware's table does not tell the word order, and takes writing over when asked", async () => {
    const row = '"T","400001",Long,1,R/W,1000,,,,,,,,,"","",';
    const plain = await run(KEPWARE + row);
    expect(plain.err).toContain("import again with --order CDAB");
    expect(tagsIn(plain.out)).toEqual([{ name: "T", address: "400001", type: "int32" }]);
    const writable = await run(KEPWARE + row, ["--writable", "--order", "ABCD"]);
    expect(writable.err).toBe("1 of 1 rows taken as kepware\n");
    expect(tagsIn(writable.out)).toEqual([{ name: "T", address: "400001", type: "int32", writable: true }]);
  });

  it("takes Neuron's table: units, orders, bits, text, numbers for types", async () => {
    const { code, out, err } = await run(
      `group,name,address,attribute,type,description,decimal,precision
g1,t,1!400001#BL,Read,FLOAT,oil,0.1,2
g1,b,2!400010.4,Read Write,BIT,,,
g1,s,1!400020.10H,Read,STRING,,,
g1,i,1!300004#B,Read,3,,,
g1,c,1!000007,Read,11,,,
g1,d,1!400030#LB,Read,DOUBLE,,,
g2,bad,1!400004,Read,INT8,,,
g2,off,400004,Read,INT16,,,
`,
      ["--device", "press"],
    );
    expect(parse(out)["devices"]).toEqual([
      {
        name: "press-1",
        unit: 1,
        tags: [
          { name: "t", address: "400001", type: "float32", order: "CDAB", scale: 0.1 },
          { name: "s", address: "400020", type: "string(10)" },
          { name: "i", address: "300004", type: "int16", order: "BA" },
          { name: "c", address: "000007", type: "bool" },
          { name: "d", address: "400030", type: "float64", order: "BADCFEHG" },
        ],
      },
      { name: "press-2", unit: 2, tags: [{ name: "b", address: "400010.4", type: "bool" }] },
    ]);
    expect([code, err]).toEqual([
      1,
      't.csv:8: not taken: type int8 has no counterpart here\nt.csv:9: not taken: "400004" is not an address such as 1!400001, 1!400001.3 or 1!400001#BL\n6 of 8 rows taken as neuron\n',
    ]);
  });

  const excel =
    "Bezeichnung;Register;Typ;Faktor;Einheit\r\nSpannung L1;3027;REAL;1;V\r\nLeistung;0x0BF3;REAL;1.000,5;W\r\nÖl;100;INT;0,1;°C\r\n";
  it.each<[string, Uint8Array]>([
    ["UTF-8", Buffer.from(excel)],
    ["UTF-8 with a mark", Buffer.from(`\ufeff${excel}`)],
    ["Windows-1252", Buffer.from(excel, "latin1")],
    ["UTF-16", Buffer.from(`\ufeff${excel}`, "utf16le")],
    ["UTF-16 without a mark", Buffer.from(excel, "utf16le")],
    ["UTF-16, other end first", Buffer.from(`\ufeff${excel}`, "utf16le").swap16()],
  ])("takes columns of one's own in %s", async (_name, bytes) => {
    const { code, out } = await run(bytes, ["--area", "holding"]);
    expect(code).toBe(0);
    expect(tagsIn(out)).toEqual([
      { name: "Spannung_L1", address: "holding:3027", type: "float32", unit: "V" },
      { name: "Leistung", address: "holding:3059", type: "float32", scale: 1000.5, unit: "W" },
      { name: "Öl", address: "holding:100", type: "int16", scale: 0.1, unit: "°C" },
    ]);
  });

  it("asks for a column that it does not find, and takes --map", async () => {
    const table = "Signal\tNr\tFormat\nx\t3\tU16\n";
    const asked = await run(table, ["--area", "input", "--base", "1"]);
    expect([asked.code, asked.err]).toEqual([
      64,
      "millrace import: which column is the address? Say --map address=COLUMN; there is Signal, Nr, Format\nTry: millrace import --help\n",
    ]);
    const mapped = await run(table, ["--area", "input", "--base", "1", "--map", "address=Nr"]);
    expect(tagsIn(mapped.out)).toEqual([{ name: "x", address: "input:2", type: "uint16" }]);
  });

  it("writes a profile that a device can take, and no file over another", async () => {
    const { code, folder } = await run("name,address,type\na,40001,uint16\nb,40003,float32\n", ["-o", "tags.yaml"]);
    expect(code).toBe(0);
    writeFileSync(
      join(folder, "millrace.yaml"),
      "gateway: { id: gw }\nlinks:\n  - name: l\n    driver: modbus\n    transport: { type: tcp, host: 192.0.2.1 }\n    devices: [{ name: d, unit: 1, profile: own/tags }]\n",
    );
    const { mkdirSync } = await import("node:fs");
    mkdirSync(join(folder, "profiles/own"), { recursive: true });
    writeFileSync(join(folder, "profiles/own/tags.yaml"), readFileSync(join(folder, "tags.yaml")));
    const config = await loadConfig("millrace.yaml", { cwd: folder });
    expect(config.links[0]?.devices[0]?.tags.map(({ name }) => name)).toEqual(["a", "b"]);
    const io = testIo({ cwd: folder });
    expect(await runImport(["t.csv", "-o", "tags.yaml"], io, { driver: modbusModule })).toBe(64);
    expect(io.stderr()).toContain("EEXIST");
  });
});

describe("tables", () => {
  it("are read as spreadsheets write them", () => {
    expect(readCsv('a,"b ""c"", d",\r\n\r\n"x\ny",2,3\nlast,"open')).toEqual([
      { line: 1, cells: ["a", 'b "c", d', ""] },
      { line: 3, cells: ["x\ny", "2", "3"] },
      { line: 5, cells: ["last", "open"] },
    ]);
    expect(readCsv("sep=|\na|b\n1|2")).toEqual([
      { line: 2, cells: ["a", "b"] },
      { line: 3, cells: ["1", "2"] },
    ]);
    expect(readCsv("")).toEqual([]);
    expect(decodeText(Buffer.from([0x80, 0x41]))).toBe("€A");
  });
});
