package imc.clients;

import java.net.URI;
import org.java_websocket.client.WebSocketClient;
import org.java_websocket.handshake.ServerHandshake;

/** The client of the library Java-WebSocket. */
final class JavaWebSocketGateway implements Gateway {
    private WebSocketClient client;

    @Override
    public void connect(URI address) throws InterruptedException {
        client = new Printing(address);
        if (!client.connectBlocking()) {
            throw new IllegalStateException("not connected to " + address);
        }
    }

    @Override
    public void send(String text) {
        client.send(text);
    }

    @Override
    public void close() throws InterruptedException {
        client.closeBlocking();
    }

    private static final class Printing extends WebSocketClient {
        Printing(URI address) {
            super(address);
        }

        @Override
        public void onOpen(ServerHandshake handshake) {}

        @Override
        public void onMessage(String text) {
            Gateway.received(text);
        }

        @Override
        public void onClose(int code, String reason, boolean isRemote) {
            Output.closed(code);
        }

        @Override
        public void onError(Exception error) {
            Output.threw(error);
        }
    }
}
