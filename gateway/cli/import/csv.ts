/** Rows of a table as spreadsheets write them (RFC 4180): quotes, line ends within them, any of `,` `;` tab between cells. */

export interface Row {
  /** One-based line of the file where the row begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

/**
 * Text of a file in the encodings that spreadsheets save: UTF-8 and UTF-16, with or without a byte order mark, else
 * Windows-1252.
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  if (first !== 0 && second === 0) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0 && second !== 0 && second !== undefined) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return windows1252(bytes);
  }
}

/** What Windows-1252 has in place of the control characters 0x80 to 0x9f of Latin-1. */
const OWN = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

/** Node 20 decodes it as Latin-1. */
function windows1252(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("latin1")
    .replaceAll(/[\u0080-\u009f]/g, (sign) => OWN[sign.charCodeAt(0) - 0x80] ?? sign);
}

/** Rows that are not empty. Without a delimiter it is the one that stands most often in the first line. */
export function readCsv(text: string, delimiter?: string): Row[] {
  const announced = /^sep=(.)\r?\n/.exec(text);
  const body = announced ? text.slice(announced[0].length) : text;
  const between = delimiter ?? announced?.[1] ?? guessDelimiter(body);
  const reader = new Reader(body, between, announced ? 2 : 1);
  return reader.rows().filter(({ cells }) => cells.some((cell) => cell.trim() !== ""));
}

function guessDelimiter(text: string): string {
  const [line = ""] = text
    .replaceAll(/"[^"]*"/g, "")
    .trimStart()
    .split(/\r?\n/);
  const counted = [",", ";", "\t"].map((sign) => ({ sign, count: line.split(sign).length }));
  return counted.sort((a, b) => b.count - a.count)[0]?.sign ?? ",";
}

class Reader {
  readonly #text: string;
  readonly #delimiter: string;
  #at = 0;
  #line: number;

  constructor(text: string, delimiter: string, line: number) {
    this.#text = text;
    this.#delimiter = delimiter;
    this.#line = line;
  }

  rows(): Row[] {
    const rows: Row[] = [];
    while (this.#at < this.#text.length) {
      const line = this.#line;
      const cells = [this.#cell()];
      while (this.#text[this.#at] === this.#delimiter) {
        this.#at += 1;
        cells.push(this.#cell());
      }
      this.#endOfLine();
      rows.push({ line, cells });
    }
    return rows;
  }

  #cell(): string {
    if (this.#text[this.#at] !== '"') return this.#plain();
    this.#at += 1;
    let cell = "";
    for (;;) {
      const quote = this.#text.indexOf('"', this.#at);
      const end = quote < 0 ? this.#text.length : quote;
      const part = this.#text.slice(this.#at, end);
      this.#line += part.split("\n").length - 1;
      cell += part;
      this.#at = end + 1;
      if (quote < 0 || this.#text[this.#at] !== '"') break;
      cell += '"';
      this.#at += 1;
    }
    return cell + this.#plain();
  }

  #plain(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && !`${this.#delimiter}\r\n`.includes(this.#text[this.#at] ?? ""))
      this.#at += 1;
    return this.#text.slice(start, this.#at);
  }

  #endOfLine(): void {
    if (this.#text[this.#at] === "\r") this.#at += 1;
    if (this.#text[this.#at] === "\n") this.#at += 1;
    this.#line += 1;
  }
}
