import { Buffer, isUtf8 } from "node:buffer";
import type { StoredEntry } from "../../core/inspect.ts";
import { epochText, type MessageContent, recordId } from "../../core/record.ts";
import { quote } from "./json.ts";
import { samplesBody } from "./values.ts";

/**
 * A stored record as one line of JSON, for people and scripts: stream, seq, epoch, id (where the gateway's id is known),
 * clock state, boot and monotonic time, then the source and the body as the `values` format has it. A message has its
 * payload under `text`, or under `base64` where it is not UTF-8.
 */
export function storedLine(entry: StoredEntry, gatewayId: string | undefined): string {
  const { stream, seq, epoch, content } = entry;
  const id = gatewayId === undefined ? "" : `"id":${JSON.stringify(recordId(gatewayId, stream, epoch, seq))},`;
  const uncertainty = entry.uncertaintyMs === undefined ? "" : `,"uncertainty":${entry.uncertaintyMs}`;
  const head = `{"stream":"${stream}","seq":${seq},"epoch":"${epochText(epoch)}",${id}"clock":"${entry.clock}"${uncertainty}`;
  const time = `${head},"boot":${quote(entry.bootId)},"mono":${Math.round(entry.monoMs)}`;
  if (content.kind === "message") return `${time},${messageBody(entry.wallMs, content)}`;
  const { link, device, group, topic } = content.source;
  const source = `"link":${quote(link)},"device":${quote(device)},"group":${quote(group)},"topic":${quote(topic)}`;
  return `${time},${source},${samplesBody(entry.wallMs, content.samples)}`;
}

function messageBody(wallMs: number, content: MessageContent): string {
  const { topic, qos, retain, payload, contentType } = content;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const type = contentType === undefined ? "" : `,"contentType":${quote(contentType)}`;
  const body = isUtf8(bytes)
    ? `"text":${JSON.stringify(bytes.toString("utf8"))}`
    : `"base64":"${bytes.toString("base64")}"`;
  return `"topic":${quote(topic)},"ts":${Math.round(wallMs)},"qos":${qos},"retain":${retain}${type},${body}}`;
}
