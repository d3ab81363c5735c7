/** Registers as a device would hold them, written down from the definitions of the types and not with the driver's codec. */
export const hex = (text: string): number[] => text.split(/\s+/).map((word) => Number.parseInt(word, 16));

export const text = (value: string, registers: number): number[] =>
  Array.from(
    { length: registers },
    (_, i) => ((value.charCodeAt(2 * i) || 0) << 8) | (value.charCodeAt(2 * i + 1) || 0),
  );

function view(bytes: number, fill: (data: DataView) => void): number[] {
  const data = new DataView(new ArrayBuffer(bytes));
  fill(data);
  return Array.from({ length: bytes / 2 }, (_, i) => data.getUint16(2 * i));
}
export const f32 = (value: number): number[] => view(4, (data) => data.setFloat32(0, value));
export const f64 = (value: number): number[] => view(8, (data) => data.setFloat64(0, value));
export const i16 = (value: number): number[] => view(2, (data) => data.setInt16(0, value));
export const i32 = (value: number): number[] => view(4, (data) => data.setInt32(0, value));
export const u32 = i32;
export const u64 = (value: bigint): number[] => view(8, (data) => data.setBigUint64(0, value));
/** Low register first. */
export const swapped = ([high = 0, low = 0]: readonly number[]): number[] => [low, high];
