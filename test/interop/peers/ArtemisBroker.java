import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import org.apache.activemq.artemis.api.core.QueueConfiguration;
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.api.core.SimpleString;
import org.apache.activemq.artemis.api.core.TransportConfiguration;
import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.config.impl.SecurityConfiguration;
import org.apache.activemq.artemis.core.remoting.impl.netty.NettyAcceptorFactory;
import org.apache.activemq.artemis.core.security.Role;
import org.apache.activemq.artemis.core.server.JournalType;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.core.settings.impl.AddressFullMessagePolicy;
import org.apache.activemq.artemis.core.settings.impl.AddressSettings;
import org.apache.activemq.artemis.spi.core.security.ActiveMQJAASSecurityManager;
import org.apache.activemq.artemis.spi.core.security.jaas.InVMLoginModule;

/**
 * Artemis on loopback: {@code <port> <folder> [protocol]}. With AMQP the queue small holds little, and no address is made by itself; with
 * MQTT any is.
 */
public class ArtemisBroker {
  public static void main(String[] args) throws Exception {
    ConfigurationImpl configuration = new ConfigurationImpl();
    configuration.setPersistenceEnabled(true).setJournalType(JournalType.NIO).setSecurityEnabled(true);
    configuration.setBindingsDirectory(args[1] + "/bindings").setJournalDirectory(args[1] + "/journal");
    configuration.setLargeMessagesDirectory(args[1] + "/large").setPagingDirectory(args[1] + "/paging");
    configuration.setMaxDiskUsage(-1);
    Map<String, Object> parameters = new HashMap<>();
    parameters.put("host", "127.0.0.1");
    parameters.put("port", args[0]);
    String protocol = args.length > 2 ? args[2] : "AMQP";
    boolean made = protocol.equals("MQTT");
    parameters.put("protocols", protocol);
    configuration.addAcceptorConfiguration(
        new TransportConfiguration(NettyAcceptorFactory.class.getName(), parameters, "in"));
    configuration.addAddressSetting(
        "#", new AddressSettings().setAutoCreateAddresses(made).setAutoCreateQueues(made));
    configuration.addAddressSetting(
        "small",
        new AddressSettings()
            .setAutoCreateAddresses(false)
            .setMaxSizeBytes(20_000)
            .setAddressFullMessagePolicy(AddressFullMessagePolicy.FAIL));
    for (String name : new String[] {"records", "small", "plans"}) {
      configuration.addQueueConfiguration(
          QueueConfiguration.of(name).setAddress(name).setRoutingType(RoutingType.ANYCAST).setDurable(true));
    }
    Role all = new Role("users", true, true, true, true, true, true, true, true, true, true, false, false);
    configuration.putSecurityRoles("#", new HashSet<>(java.util.Set.of(all)));
    SecurityConfiguration users = new SecurityConfiguration();
    users.addUser("gw", "gw-secret");
    users.addRole("gw", "users");
    EmbeddedActiveMQ broker = new EmbeddedActiveMQ();
    broker.setConfiguration(configuration);
    broker.setSecurityManager(new ActiveMQJAASSecurityManager(InVMLoginModule.class.getName(), users));
    broker.start();
    System.out.println("ready");
    Thread.currentThread().join();
  }
}
