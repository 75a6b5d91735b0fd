package imc.clients;

import java.nio.charset.StandardCharsets;
import okhttp3.HttpUrl;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;

/** OkHttp 4 with its defaults: it asks for gzip. It sends no body with a GET. Replies are parsed by Gson. */
final class OkHttpCalls implements Calls {
    private final OkHttpClient client = new OkHttpClient();
    private final Parser parser = new GsonParser();

    @Override
    public ResultDTO<?> call(Call call) throws Exception {
        HttpUrl address = HttpUrl.get(call.address());
        Request.Builder request = new Request.Builder().url(address);
        if (call.method().equals("GET")) {
            request.get();
        } else {
            byte[] body = call.body() == null ? new byte[0] : call.body().getBytes(StandardCharsets.UTF_8);
            MediaType type = call.contentType() == null ? null : MediaType.get(call.contentType());
            request.method(call.method(), RequestBody.create(body, type));
        }
        try (Response response = client.newCall(request.build()).execute()) {
            String text = response.body().string();
            if (!response.isSuccessful()) {
                throw new IllegalStateException(response.code() + " " + text);
            }
            return Strict.convertedReply(parser.parse(text), call.data());
        }
    }
}
