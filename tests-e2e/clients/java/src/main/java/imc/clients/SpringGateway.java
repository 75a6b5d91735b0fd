package imc.clients;

import java.net.URI;
import org.glassfish.tyrus.client.ClientManager;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.handler.TextWebSocketHandler;

/** The {@code StandardWebSocketClient} of Spring, on Tyrus: Tomcat's container is on the class path too. */
final class SpringGateway extends TextWebSocketHandler implements Gateway {
    private WebSocketSession session;

    @Override
    public void connect(URI address) throws Exception {
        session = new StandardWebSocketClient(ClientManager.createClient()).execute(this, new WebSocketHttpHeaders(), address).get();
    }

    @Override
    public void send(String text) throws Exception {
        session.sendMessage(new TextMessage(text));
    }

    @Override
    public void close() throws Exception {
        session.close();
    }

    @Override
    protected void handleTextMessage(WebSocketSession from, TextMessage message) {
        Gateway.received(message.getPayload());
    }

    @Override
    public void handleTransportError(WebSocketSession failed, Throwable error) {
        Output.threw(error);
    }

    @Override
    public void afterConnectionClosed(WebSocketSession closed, CloseStatus status) {
        Output.closed(status.getCode());
    }
}
