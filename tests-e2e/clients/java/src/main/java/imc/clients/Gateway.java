package imc.clients;

import java.net.URI;

/** One WebSocket client. It passes each text frame to {@link #received}. */
interface Gateway {
    void connect(URI address) throws Exception;

    void send(String text) throws Exception;

    void close() throws Exception;

    /** Parses a frame strictly and prints it. */
    static void received(String text) {
        try {
            Output.parsed(Strict.frame(text));
        } catch (Exception error) {
            Output.threw(error);
        }
    }
}
