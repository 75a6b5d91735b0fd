package imc.clients;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Prints one JSON object a line, as the test reads them. */
final class Output {
    private Output() {}

    /** Prints an envelope that the client has parsed. */
    static void parsed(ResultDTO<?> result) {
        print(Map.of("event", "parsed", "envelope", result));
    }

    /** Prints that the connection is closed. */
    static void closed(int code) {
        print(Map.of("event", "closed", "code", code));
    }

    /** Prints what the client threw. */
    static void threw(Throwable error) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", "threw");
        event.put("error", error.getClass().getSimpleName());
        event.put("message", String.valueOf(error.getMessage()));
        print(event);
    }

    private static synchronized void print(Map<String, Object> event) {
        try {
            System.out.println(Strict.MAPPER.writeValueAsString(event));
            System.out.flush();
        } catch (JsonProcessingException error) {
            throw new IllegalStateException(error);
        }
    }
}
