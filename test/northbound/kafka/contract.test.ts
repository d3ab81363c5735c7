import { uplinkContract } from "../../contract/uplink.ts";
import { FakeKafka } from "../../fakes/fake-kafka.ts";
import { kafkaUplink } from "./harness.ts";

uplinkContract("kafka", () => {
  const { uplink, cluster } = kafkaUplink({ inFlight: 300, batch: { count: 300, linger: "0ms" } });
  const other = (connecting: FakeKafka["connecting"]) => {
    const away = new FakeKafka();
    away.connecting = connecting;
    return kafkaUplink({}, {}, away).uplink;
  };
  return Promise.resolve({
    uplink,
    received: () => cluster.requests.flat().map(({ value }) => Buffer.from(value).toString()),
    holdAcks: () => {
      cluster.fate = () => "hold";
    },
    cut: () => cluster.cut(),
    unreachable: () => other(["lost", "nobody there"]),
    silent: () => other("silent"),
    dispose: () => Promise.resolve(),
  });
});
