package imc.clients;

import java.net.URI;

/** One WebSocket client. It passes each text frame to {@link #received}. */
interface Gateway {
    void connect(URI address) throws Exception;

    void send(String text) throws Exception;

    void close() throws Exception;

    /** Parses a frame strictly, by Jackson, and prints it. */
    static void received(String text) {
        try {
            Output.parsed(Strict.frame(text));
        } catch (Exception error) {
            Output.threw(error);
        }
    }

    /** Parses a frame by another library, and prints it if it is what a gateway declares. */
    static void received(String text, Parser parser) {
        try {
            Output.parsed(Strict.convertedFrame(parser.parse(text)));
        } catch (Exception error) {
            Output.threw(error);
        }
    }
}
