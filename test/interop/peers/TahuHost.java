import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Proxy;
import java.util.Date;
import java.util.List;
import org.eclipse.tahu.host.HostApplication;
import org.eclipse.tahu.host.api.MultiHostApplicationEventHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.Metric.MetricBuilder;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.MessageType;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.Topic;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.MqttClientId;
import org.eclipse.tahu.mqtt.MqttServerName;
import org.eclipse.tahu.mqtt.MqttServerUrl;

/**
 * Eclipse Tahu's host application, host id from the arguments. Says on stdout what it makes of an edge node; takes lines
 * "write GROUP NODE DEVICE METRIC VALUE" and "rebirth GROUP NODE" on stdin.
 */
public class TahuHost {
  public static void main(String[] args) throws Exception {
    MqttServerDefinition server = new MqttServerDefinition(new MqttServerName("s"), new MqttClientId("tahu-host", false),
        new MqttServerUrl("tcp://127.0.0.1:" + args[0]), null, null, 30, null);
    MultiHostApplicationEventHandler handler = (MultiHostApplicationEventHandler) Proxy.newProxyInstance(
        TahuHost.class.getClassLoader(), new Class<?>[] {MultiHostApplicationEventHandler.class}, (self, method, given) -> {
          String name = method.getName();
          if (name.equals("toString") || name.equals("hashCode") || name.equals("equals")) return name.equals("hashCode") ? (Object) 1 : name.equals("equals") ? (Object) Boolean.FALSE : "handler";
          if (given.length > 2 && given[2] instanceof Metric metric)
            say(name + " " + given[1] + " " + metric.getName() + " " + metric.getValue() + (Boolean.TRUE.equals(metric.isHistorical()) ? " historical" : ""));
          else if (!name.equals("onMessage")) say(name + (given.length > 1 ? " " + given[1] : ""));
          return null;
        });
    HostApplication host = new HostApplication(handler, args[1], List.of("spBv1.0/#"), List.of(server), null, new SparkplugBPayloadDecoder(), true);
    host.start(true);
    say("ready");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("offline")) {
        host.shutdown();
        break;
      }
      boolean rebirth = words[0].equals("rebirth");
      Metric metric = rebirth
          ? new MetricBuilder("Node Control/Rebirth", MetricDataType.Boolean, true).createMetric()
          : new MetricBuilder(words[4], MetricDataType.UInt32, Long.valueOf(words[5])).createMetric();
      SparkplugBPayload payload = new SparkplugBPayload(new Date(), List.of(metric), null, null, null);
      Topic topic = rebirth
          ? new Topic("spBv1.0", words[1], words[2], MessageType.NCMD)
          : new Topic("spBv1.0", words[1], words[2], words[3], MessageType.DCMD);
      host.publishCommand(topic, payload);
    }
    System.exit(0);
  }

  private static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }
}
