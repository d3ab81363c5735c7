import type { Encoder } from "./encoder.ts";

/** Where else a message goes upstream than on its own topic. */
export type AnswerFor = (topic: string, payload: Uint8Array) => { topic: string; correlation?: Uint8Array } | undefined;

/**
 * Results of commands also go to the topic that the sender asked for, byte for byte and with its correlation data; the
 * record is settled when both arrived, or the far side refuses the answer.
 */
export function withAnswers(encoder: Encoder, answerFor: AnswerFor): Encoder {
  return {
    ...encoder,
    encode(entry, context) {
      const messages = encoder.encode(entry, context);
      const { content } = entry;
      if (content.kind !== "message") return messages;
      const answer = answerFor(content.topic, content.payload);
      if (answer === undefined) return messages;
      const { payload } = content;
      // Not the record itself: it has no id that a receiver would count twice.
      return [...messages, { ...answer, payload, qos: 1, retain: false, properties: [], optional: true }];
    },
  };
}
