/** CONNACK return codes (MQTT 3.1.1, table 3.1). */
export const IDENTIFIER_REJECTED = 2;
export const UNAVAILABLE = 3;
export const BAD_LOGIN = 4;
export const NOT_AUTHORIZED = 5;

/** Why a CONNECT is refused: for the client a code, for the metric a word, for people a sentence with the cure. */
export interface Refusal {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

/** What of a CONNECT decides whether it is welcome. */
export interface Connect {
  readonly clientId: string;
  readonly clean: boolean;
  readonly will?: { readonly topic: string; readonly qos?: number | undefined } | undefined;
}
