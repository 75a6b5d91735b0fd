package imc.clients;

import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.Session;
import java.net.URI;
import org.apache.tomcat.websocket.WsWebSocketContainer;

/** Tomcat's client with its defaults: a text of more than 8,192 characters closes it. fastjson parses frames. */
final class TomcatGateway extends Endpoint implements Gateway {
    private final Parser parser = new FastjsonParser();
    private Session session;

    @Override
    public void connect(URI address) throws Exception {
        session = new WsWebSocketContainer()
                .connectToServer(this, ClientEndpointConfig.Builder.create().build(), address);
    }

    @Override
    public void send(String text) throws Exception {
        session.getBasicRemote().sendText(text);
    }

    @Override
    public void close() throws Exception {
        session.close();
    }

    @Override
    public void onOpen(Session opened, EndpointConfig config) {
        opened.addMessageHandler(String.class, (MessageHandler.Whole<String>) text -> Gateway.received(text, parser));
    }

    @Override
    public void onClose(Session closed, CloseReason reason) {
        Output.closed(reason.getCloseCode().getCode());
    }

    @Override
    public void onError(Session failed, Throwable error) {
        Output.threw(error);
    }
}
