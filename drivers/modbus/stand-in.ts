import { LAST_ADDRESS, MAX_BITS, MAX_REGISTERS } from "./address.ts";
import { dataBytes, type Question } from "./wire.ts";

/**
 * Questions whose answers hold that to `question` but have another length, so that a late answer to `question` is not
 * taken for theirs. The surest first. None where it is as long as can be asked.
 * @param most registers or bits that the unit gives in one answer.
 */
export function standIns(question: Question, most: number): Question[] {
  const { functionCode, address, count } = question;
  const bits = functionCode <= 2;
  const step = bits ? 8 : 1;
  const whole = dataBytes(question) / (bits ? 1 : 2);
  const limit = Math.min(most, bits ? MAX_BITS : MAX_REGISTERS);
  return [1, 2, 3, 4]
    .map((more) => (whole + more) * step)
    .flatMap((size) => [
      { ...question, count: size },
      { ...question, address: address + count - size, count: size },
    ])
    .filter((each) => each.count <= limit && each.address >= 0 && each.address + each.count - 1 <= LAST_ADDRESS);
}

/** The part of the answer to `asked` that answers `question`, which lies within it. */
export function cutOut(answer: Buffer, asked: Question, question: Question): Buffer {
  const offset = question.address - asked.address;
  if (question.functionCode > 2) return answer.subarray(offset * 2, (offset + question.count) * 2);
  const cut = Buffer.alloc(dataBytes(question));
  for (let at = 0; at < question.count; at++) {
    const bit = ((answer[(offset + at) >> 3] ?? 0) >> ((offset + at) & 7)) & 1;
    cut[at >> 3] = (cut[at >> 3] ?? 0) | (bit << (at & 7));
  }
  return cut;
}
