import type { Ends, Tap } from "../../../gateway/core/recording.ts";
import type { Channel, OpenChannel } from "./channel.ts";

/** The same channels, with everything that passes on them told to the flight recorder. */
export function tapped(openChannel: OpenChannel, tap: Tap): OpenChannel {
  return (events) => {
    let open = false;
    const early: Buffer[] = [];
    const channel = openChannel({
      data: (chunk) => {
        // A device may speak before `open` has told that it stands.
        if (open) tap.received(chunk);
        else early.push(Buffer.from(chunk));
        events.data(chunk);
      },
      closed: (reason) => {
        if (open) tap.closed(reason.message);
        open = false;
        events.closed(reason);
      },
    });
    return tappedChannel(channel, tap, () => {
      open = true;
      tap.opened(channel.ends?.());
      for (const chunk of early.splice(0)) tap.received(chunk);
    });
  };
}

function tappedChannel(channel: Channel, tap: Tap, opened: () => void): Channel {
  const { flush, check } = channel;
  return {
    async open() {
      await channel.open();
      opened();
    },
    write(bytes) {
      tap.sent(bytes);
      channel.write(bytes);
    },
    ...(flush ? { flush: () => flush.call(channel) } : {}),
    ...(check ? { check: () => check.call(channel) } : {}),
    ends: (): Ends | undefined => channel.ends?.(),
    close: () => channel.close(),
  };
}
