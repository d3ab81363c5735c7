import java.io.File;
import java.util.List;
import org.apache.activemq.broker.BrokerPlugin;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.broker.region.policy.PolicyEntry;
import org.apache.activemq.broker.region.policy.PolicyMap;
import org.apache.activemq.security.AuthenticationUser;
import org.apache.activemq.security.SimpleAuthenticationPlugin;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;

/** ActiveMQ Classic on loopback, with AMQP unless said: {@code <port> <folder> [scheme]}. Queues that begin with small hold little. */
public class ClassicBroker {
  public static void main(String[] args) throws Exception {
    BrokerService broker = new BrokerService();
    broker.setBrokerName("classic");
    broker.setUseJmx(false);
    broker.setPersistent(true);
    broker.setUseShutdownHook(false);
    KahaDBPersistenceAdapter store = new KahaDBPersistenceAdapter();
    store.setDirectory(new File(args[1]));
    broker.setPersistenceAdapter(store);
    broker.getSystemUsage().getStoreUsage().setLimit(1L << 30);
    broker.getSystemUsage().setSendFailIfNoSpace(true);
    PolicyEntry small = new PolicyEntry();
    small.setQueue("small.>");
    small.setMemoryLimit(20_000);
    small.setPendingQueuePolicy(new org.apache.activemq.broker.region.policy.VMPendingQueueMessageStoragePolicy());
    PolicyMap policies = new PolicyMap();
    policies.setPolicyEntries(List.of(small));
    broker.setDestinationPolicy(policies);
    SimpleAuthenticationPlugin users =
        new SimpleAuthenticationPlugin(List.of(new AuthenticationUser("gw", "gw-secret", "users")));
    broker.setPlugins(new BrokerPlugin[] {users});
    String scheme = args.length > 2 ? args[2] : "amqp";
    String options = scheme.equals("amqp") ? "?transport.transformer=native" : "";
    broker.addConnector(scheme + "://127.0.0.1:" + args[0] + options);
    broker.start();
    broker.waitUntilStarted();
    System.out.println("ready");
    Thread.currentThread().join();
  }
}
