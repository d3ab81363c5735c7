import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Date;
import java.util.HexFormat;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.PropertyValue;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.model.MetricDataTypeMap;

/** Reads payloads in hex from stdin, one a line; says what Tahu makes of each, and how Tahu writes the same. */
public class TahuPeer {
  public static void main(String[] args) throws Exception {
    MetricDataTypeMap types = new MetricDataTypeMap();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready");
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      try {
        System.out.println(answer(HexFormat.of().parseHex(line), types));
      } catch (Exception error) {
        System.out.println("error " + error);
      }
    }
  }

  private static String answer(byte[] bytes, MetricDataTypeMap types) throws Exception {
    SparkplugBPayload payload = new SparkplugBPayloadDecoder().buildFromByteArray(bytes, types);
    StringBuilder text = new StringBuilder();
    text.append("seq=").append(payload.getSeq()).append(" ts=").append(time(payload.getTimestamp()));
    for (Metric metric : payload.getMetrics()) {
      // As a host does: what a birth declares gives later aliases their type.
      if (metric.hasName() && metric.hasAlias()) types.addMetricDataType(metric.getAlias(), metric.getDataType());
      if (metric.hasName()) types.addMetricDataType(metric.getName(), metric.getDataType());
      text.append(" | ").append(metric.hasName() ? metric.getName() : "-");
      text.append(' ').append(metric.hasAlias() ? metric.getAlias() : "-");
      text.append(' ').append(metric.getDataType()).append(' ').append(time(metric.getTimestamp()));
      text.append(' ').append(value(metric.getValue()));
      text.append(Boolean.TRUE.equals(metric.isHistorical()) ? " historical" : "");
      text.append(Boolean.TRUE.equals(metric.isNull()) ? " null" : "");
      PropertyValue quality = metric.getProperties() == null ? null : metric.getProperties().getPropertyValue("Quality");
      if (quality != null) text.append(" quality=").append(quality.getValue()).append(':').append(quality.getType());
    }
    byte[] again = new SparkplugBPayloadEncoder().getBytes(payload, false);
    return text + "\t" + HexFormat.of().formatHex(again);
  }

  private static String time(Date date) {
    return date == null ? "-" : String.valueOf(date.getTime());
  }

  private static String value(Object value) {
    if (value instanceof byte[] bytes) return Base64.getEncoder().encodeToString(bytes);
    // As bits: texts of fractions differ between languages.
    if (value instanceof Float number) return String.format("%08x", Float.floatToRawIntBits(number));
    if (value instanceof Double number) return String.format("%016x", Double.doubleToRawLongBits(number));
    if (value instanceof Date date) return time(date);
    if (value instanceof String text) return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    return String.valueOf(value);
  }
}
