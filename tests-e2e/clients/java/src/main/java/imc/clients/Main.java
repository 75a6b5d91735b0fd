package imc.clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.Supplier;

/**
 * Runs one client. The test writes a line for each frame to send or call to make, and reads a line for each event.
 *
 * <p>{@code Main GATEWAY ADDRESS} sends each line as a frame. {@code Main CALLS} makes the call that each line describes.
 */
public final class Main {
    private static final Map<String, Supplier<Gateway>> GATEWAYS = Map.of(
            "java.net.http", JdkGateway::new,
            "tyrus", TyrusGateway::new,
            "spring", SpringGateway::new,
            "java-websocket", JavaWebSocketGateway::new,
            "okhttp", OkHttpGateway::new,
            "tomcat", TomcatGateway::new);
    private static final Map<String, Supplier<Calls>> CALLS = Map.of(
            "RestTemplate", RestTemplateCalls::new, "HttpClient", JdkCalls::new, "OkHttp", OkHttpCalls::new,
            "Feign", FeignCalls::new);

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        if (CALLS.containsKey(arguments[0])) {
            makeCalls(CALLS.get(arguments[0]).get(), lines);
        } else {
            beGateway(GATEWAYS.get(arguments[0]).get(), URI.create(arguments[1]), lines);
        }
        System.exit(0);
    }

    private static void beGateway(Gateway gateway, URI address, BufferedReader lines) throws Exception {
        gateway.connect(address);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            gateway.send(line);
        }
        gateway.close();
    }

    private static void makeCalls(Calls calls, BufferedReader lines) throws Exception {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                Output.parsed(calls.call(Strict.MAPPER.readValue(line, Calls.Call.class)));
            } catch (Exception error) {
                Output.threw(error);
            }
        }
    }
}
