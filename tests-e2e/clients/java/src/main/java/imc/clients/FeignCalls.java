package imc.clients;

import feign.Client;
import feign.Request;
import feign.Response;
import feign.Util;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/** Feign's own client with its defaults. It makes a POST of a GET that has a body, so it sends none with a GET. */
final class FeignCalls implements Calls {
    private final Client client = new Client.Default(null, null);

    @Override
    public ResultDTO<?> call(Call call) throws Exception {
        boolean hasBody = call.body() != null && !call.method().equals("GET");
        Map<String, Collection<String>> headers =
                call.contentType() == null ? Map.of() : Map.of("Content-Type", List.of(call.contentType()));
        byte[] body = hasBody ? call.body().getBytes(StandardCharsets.UTF_8) : null;
        Request request =
                Request.create(
                        Request.HttpMethod.valueOf(call.method()),
                        call.address().toString(),
                        headers,
                        body,
                        StandardCharsets.UTF_8,
                        null);
        try (Response response = client.execute(request, new Request.Options())) {
            String text = Util.toString(response.body().asReader(StandardCharsets.UTF_8));
            if (response.status() != 200) {
                throw new IllegalStateException(response.status() + " " + text);
            }
            return Strict.reply(text, call.data());
        }
    }
}
