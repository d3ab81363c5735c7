import io.moquette.broker.Server;
import io.moquette.broker.config.MemoryConfig;
import java.nio.charset.StandardCharsets;
import java.util.Properties;

/** Moquette on loopback: {@code <port> <folder>}. The user is gw, with gw-secret. */
public class MoquetteBroker {
  public static void main(String[] args) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("host", "127.0.0.1");
    properties.setProperty("port", args[0]);
    properties.setProperty("data_path", args[1]);
    properties.setProperty("persistence_enabled", "true");
    properties.setProperty("allow_anonymous", "false");
    properties.setProperty("telemetry_enabled", "false");
    new Server()
        .startServer(
            new MemoryConfig(properties),
            java.util.List.of(),
            null,
            (id, user, password) ->
                "gw".equals(user) && "gw-secret".equals(new String(password, StandardCharsets.UTF_8)),
            null);
    System.out.println("ready");
    Thread.currentThread().join();
  }
}
