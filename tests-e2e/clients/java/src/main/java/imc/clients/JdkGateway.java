package imc.clients;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.CompletionStage;

/** The client of the JDK, {@code java.net.http.WebSocket}. */
final class JdkGateway implements Gateway, WebSocket.Listener {
    private final StringBuilder text = new StringBuilder();
    private WebSocket socket;

    @Override
    public void connect(URI address) {
        socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(address, this).join();
    }

    @Override
    public void send(String message) {
        socket.sendText(message, true).join();
    }

    @Override
    public void close() {
        socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
    }

    @Override
    public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean isLast) {
        text.append(part);
        if (isLast) {
            Gateway.received(text.toString());
            text.setLength(0);
        }
        return WebSocket.Listener.super.onText(from, part, isLast);
    }

    @Override
    public CompletionStage<?> onClose(WebSocket from, int code, String reason) {
        Output.closed(code);
        return null;
    }

    @Override
    public void onError(WebSocket from, Throwable error) {
        Output.threw(error);
    }
}
