import { describe, expect, it } from "vitest";
import { asciiFraming } from "../../drivers/modbus/ports/ascii-framing.ts";
import { rtuFraming } from "../../drivers/modbus/ports/rtu-framing.ts";
import { IdSifter } from "../../drivers/modbus/recording/id-sifter.ts";
import { LineSifter } from "../../drivers/modbus/recording/line-sifter.ts";
import { withCrc } from "../../drivers/modbus/wire.ts";
import { passedOf, sifted, textOf } from "./support.ts";

const rtu = (body: string) => withCrc(Buffer.from(body.replaceAll(" ", ""), "hex")).toString("hex");
const ASK = rtu("01 03 0000 0002");
const ANSWER = rtu("01 03 04 00010002");

describe("frames of a line", () => {
  it("are whole wherever the answer is divided", () => {
    for (let at = 1; at < ANSWER.length / 2; at++) {
      const passed = passedOf(1, `> ${ASK}`, `< ${ANSWER.slice(0, at * 2)}`, `< ${ANSWER.slice(at * 2)}`, `> ${ASK}`);
      const frames = sifted(new LineSifter(rtuFraming), passed);
      expect(textOf(frames), `at ${at}`).toEqual([`> ${ASK}`, `< ${ANSWER}`, `> ${ASK}`]);
      // The time of the last piece.
      expect(frames[1]?.monoMs).toBe(1_030);
    }
  });

  it("stand apart from noise around them", () => {
    const passed = passedOf(1, `> ${ASK}`, `< ff00 ${ANSWER} 0102`, `> ${ASK}`, "< ff", "close");
    const frames = sifted(new LineSifter(rtuFraming), passed);
    expect(textOf(frames)).toEqual([`> ${ASK}`, "<! ff00", `< ${ANSWER}`, "<! 0102", `> ${ASK}`, "<! ff"]);
    expect(frames[1]?.comment).toBe("2 bytes that are no Modbus frame");
  });

  it("with a bad checksum are no frames", () => {
    const broken = `${ANSWER.slice(0, -2)}00`;
    expect(textOf(sifted(new LineSifter(rtuFraming), passedOf(1, `> ${ASK}`, `< ${broken}`, `> ${ASK}`)))).toEqual([
      `> ${ASK}`,
      `<! ${broken}`,
      `> ${ASK}`,
    ]);
  });

  it("know the question when it is heard back, in pieces or with the answer", () => {
    for (const lines of [
      [`< ${ASK}`, `< ${ANSWER}`],
      [`< ${ASK}${ANSWER}`],
      [`< ${ASK.slice(0, 6)}`, `< ${ASK.slice(6)}${ANSWER}`],
    ]) {
      const frames = sifted(new LineSifter(rtuFraming), passedOf(1, `> ${ASK}`, ...lines));
      expect(textOf(frames)).toEqual([`> ${ASK}`, `< ${ASK}`, `< ${ANSWER}`]);
      expect(frames[1]?.comment).toBe("the question, heard back");
    }
    const write = rtu("01 06 0000 0007");
    expect(textOf(sifted(new LineSifter(rtuFraming), passedOf(1, `> ${write}`, `< ${write}`)))).toEqual([
      `> ${write}`,
      `< ${write}`,
    ]);
  });

  it("of ASCII are shown as RTU, with their text", () => {
    const ascii = (frame: string) => asciiFraming.wrap(Buffer.from(frame.slice(0, -4), "hex")).toString("hex");
    const passed = passedOf(1, `> ${ascii(ASK)}`, `< ${ascii(ANSWER)}`);
    const frames = sifted(new LineSifter(asciiFraming), passed);
    expect(textOf(frames)).toEqual([`> ${ASK}`, `< ${ANSWER}`]);
    expect(frames[0]?.comment).toBe("on the wire: :010300000002FA");
  });
});

describe("frames with ids", () => {
  const ask = (id: string) => `> ${id} 0000 0006 01 03 0000 0001`;
  const answer = (id: string) => `< ${id} 0000 0005 01 03 02 0007`;

  it("stay as they passed where the beginning of the connection is known", () => {
    const passed = passedOf(1, "open", ask("0001"), "< 0001 0000", "< 0005 01 03 02 0007", answer("0099"));
    expect(sifted(new IdSifter({ isStream: true, trustIds: true }), passed)).toHaveLength(4);
  });

  it("begin with a whole answer where it is not", () => {
    const passed = passedOf(1, "< 03 02 0007", ask("0002"), "< 0007", answer("0002"), ask("0003"), "< 0003 00");
    const frames = sifted(new IdSifter({ isStream: true, trustIds: true }), passed);
    expect(textOf(frames)).toEqual(
      [ask("0002"), answer("0002"), ask("0003"), "< 000300"].map((t) => `${t[0]} ${t.slice(1).replaceAll(" ", "")}`),
    );
    expect(frames[1]?.comment).toBe("6 bytes before this are left out: they begin within a frame");
  });
});
