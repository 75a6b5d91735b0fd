package imc.clients;

import java.net.URI;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;

/** OkHttp 4 with its defaults, as on Android: it offers compression. Frames are parsed by Gson. */
final class OkHttpGateway extends WebSocketListener implements Gateway {
    private static final int NORMAL = 1000;
    private static final int SECONDS = 30;

    private final OkHttpClient client = new OkHttpClient();
    private final Parser parser = new GsonParser();
    private final CompletableFuture<Void> opened = new CompletableFuture<>();
    private final CompletableFuture<Void> closed = new CompletableFuture<>();
    private WebSocket socket;

    @Override
    public void connect(URI address) throws Exception {
        socket = client.newWebSocket(new Request.Builder().url(address.toString()).build(), this);
        opened.get(SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void send(String text) {
        if (!socket.send(text)) {
            throw new IllegalStateException("the socket takes no frames any more");
        }
    }

    @Override
    public void close() throws Exception {
        socket.close(NORMAL, null);
        closed.get(SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void onOpen(WebSocket on, Response response) {
        opened.complete(null);
    }

    @Override
    public void onMessage(WebSocket from, String text) {
        Gateway.received(text, parser);
    }

    @Override
    public void onClosing(WebSocket by, int code, String reason) {
        by.close(NORMAL, null);
    }

    @Override
    public void onClosed(WebSocket was, int code, String reason) {
        Output.closed(code);
        closed.complete(null);
    }

    @Override
    public void onFailure(WebSocket failed, Throwable error, Response response) {
        opened.completeExceptionally(error);
        closed.completeExceptionally(error);
        Output.threw(error);
    }
}
