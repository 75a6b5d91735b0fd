package imc.clients;

import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/** The HttpClient of the JDK with its defaults: it asks for HTTP/2 by an upgrade of each connection. */
final class JdkCalls implements Calls {
    private final HttpClient client = HttpClient.newHttpClient();

    @Override
    public ResultDTO<?> call(Call call) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(call.address());
        if (call.contentType() != null) {
            request.header("Content-Type", call.contentType());
        }
        BodyPublisher body =
                call.body() == null ? BodyPublishers.noBody() : BodyPublishers.ofString(call.body());
        HttpResponse<String> response =
                client.send(request.method(call.method(), body).build(), BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IllegalStateException(response.statusCode() + " " + response.body());
        }
        return Strict.reply(response.body(), call.data());
    }
}
