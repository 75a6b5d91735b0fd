package imc.clients;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.Strictness;
import com.google.gson.ToNumberPolicy;

/** Gson. Strict, so that it takes nothing but JSON; a whole number stays one. */
final class GsonParser implements Parser {
    private final Gson gson = new GsonBuilder()
            .setStrictness(Strictness.STRICT)
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
            .create();

    @Override
    public Object parse(String text) {
        return gson.fromJson(text, Object.class);
    }
}
