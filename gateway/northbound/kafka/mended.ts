import { createRequire } from "node:module";

/** Two faults of kafkajs 2.2.4, mended in place. Where its inside looks different, it is left as it is. */

interface Queue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}
interface Encoder {
  buf: Uint8Array;
  offset: number;
  ensureAvailable(bytes: number): void;
  writeUVarInt(value: number): Encoder;
  writeVarLong(value: unknown): Encoder;
}
interface EncoderClass {
  readonly prototype: Encoder;
  nextPowerOfTwo(value: number): number;
  sizeOfVarLong(value: unknown): number;
}

const QUEUE = ["scheduleCheckPendingRequests"];
const ENCODER = ["ensureAvailable", "writeUVarInt", "writeVarLong"];
const ENCODER_CLASS = ["nextPowerOfTwo", "sizeOfVarLong"];

/** What it asks for at the beginning of each record and each header. */
const FIRST_BYTES = 511;
/** What V8 keeps on its own heap. */
const SMALL_BYTES = 64;
const VARINT_BYTES = 5;

let mended = false;

export function mendLibrary(): void {
  if (mended) return;
  mended = true;
  const inside = createRequire(import.meta.url);
  const queue: unknown = inside("kafkajs/src/network/requestQueue");
  if (isQueueClass(queue)) calm(queue.prototype);
  const encoder: unknown = inside("kafkajs/src/protocol/encoder");
  if (isEncoderClass(encoder)) quicken(encoder);
}

/**
 * It sets a timer of minus 1.7e12 ms for each answer, which Node 24 warns of. Where nothing waits and nothing is throttled there
 * is nothing to look at later.
 */
function calm(queue: Queue): void {
  const check = queue.scheduleCheckPendingRequests;
  queue.scheduleCheckPendingRequests = function (this: Queue) {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) check.call(this);
  };
}

/** It takes 512 bytes of memory outside the heap for each header, and a buffer for each number: half of all it costs. */
function quicken(encoder: EncoderClass): void {
  const { nextPowerOfTwo, sizeOfVarLong } = encoder;
  const { writeVarLong } = encoder.prototype;
  encoder.nextPowerOfTwo = (value) => (value === FIRST_BYTES ? SMALL_BYTES : nextPowerOfTwo.call(encoder, value));
  encoder.sizeOfVarLong = (value) => (value === 0 ? 1 : sizeOfVarLong.call(encoder, value));
  encoder.prototype.writeVarLong = function (this: Encoder, value) {
    return value === 0 ? this.writeUVarInt(0) : writeVarLong.call(this, value);
  };
  encoder.prototype.writeUVarInt = function (this: Encoder, value) {
    this.ensureAvailable(VARINT_BYTES);
    let rest = value;
    while ((rest & ~0x7f) !== 0) {
      this.buf[this.offset++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.buf[this.offset++] = rest;
    return this;
  };
}

function isQueueClass(value: unknown): value is { readonly prototype: Queue } {
  return typeof value === "function" && looksLike(QUEUE, value.prototype);
}

function isEncoderClass(value: unknown): value is EncoderClass {
  return typeof value === "function" && looksLike(ENCODER, value.prototype) && looksLike(ENCODER_CLASS, value);
}

function looksLike(methods: readonly string[], value: unknown): boolean {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return false;
  return methods.every((name) => typeof Reflect.get(value, name) === "function");
}
