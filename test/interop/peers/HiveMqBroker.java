import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthInput;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthOutput;
import com.hivemq.extension.sdk.api.packets.connect.ConnackReasonCode;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** HiveMQ CE on loopback: {@code <port> <folder>}. The user is gw, with gw-secret. */
public class HiveMqBroker {
  public static void main(String[] args) throws Exception {
    Path folder = Path.of(args[1]);
    for (String name : new String[] {"conf", "data", "extensions"}) Files.createDirectories(folder.resolve(name));
    Files.writeString(
        folder.resolve("conf/config.xml"),
        "<?xml version=\"1.0\"?><hivemq><listeners><tcp-listener><port>"
            + args[0]
            + "</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>"
            + "<mqtt><queued-messages><max-queue-size>1000000</max-queue-size></queued-messages></mqtt>"
            + "<anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics></hivemq>");
    EmbeddedExtension users =
        EmbeddedExtension.builder()
            .withId("users")
            .withName("users")
            .withVersion("1")
            .withPriority(0)
            .withStartPriority(1000)
            .withAuthor("millrace")
            .withExtensionMain(new Users())
            .build();
    EmbeddedHiveMQ broker =
        EmbeddedHiveMQ.builder()
            .withConfigurationFolder(folder.resolve("conf"))
            .withDataFolder(folder.resolve("data"))
            .withExtensionsFolder(folder.resolve("extensions"))
            .withEmbeddedExtension(users)
            .build();
    broker.start().join();
    System.out.println("ready");
    Thread.currentThread().join();
  }

  static class Users implements ExtensionMain, SimpleAuthenticator {
    @Override
    public void extensionStart(ExtensionStartInput input, ExtensionStartOutput output) {
      Services.securityRegistry().setAuthenticatorProvider(provider -> this);
    }

    @Override
    public void extensionStop(ExtensionStopInput input, ExtensionStopOutput output) {}

    @Override
    public void onConnect(SimpleAuthInput input, SimpleAuthOutput output) {
      var connect = input.getConnectPacket();
      boolean known =
          connect.getUserName().orElse("").equals("gw")
              && connect.getPassword().map(ByteBuffer::asReadOnlyBuffer).map(Users::text).orElse("").equals("gw-secret");
      if (known) output.authenticateSuccessfully();
      else output.failAuthentication(ConnackReasonCode.BAD_USER_NAME_OR_PASSWORD);
    }

    static String text(ByteBuffer bytes) {
      return StandardCharsets.UTF_8.decode(bytes).toString();
    }
  }
}
