package imc.clients;

import java.net.URI;

/** One HTTP client. */
interface Calls {
    ResultDTO<?> call(Call call) throws Exception;

    /**
     * A call that the test asks for.
     *
     * @param body JSON, or null for none
     * @param data what the reply's {@code data} is: a name that {@link Strict} knows
     */
    record Call(String method, URI address, String contentType, String body, String data) {}
}
