package imc.clients;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.type.LogicalType;
import com.fasterxml.jackson.databind.type.TypeFactory;
import java.util.List;
import java.util.Map;

/** Reads replies and frames as strictly as Jackson can: no unknown field, no other type, nothing behind the end. */
final class Strict {
    static final ObjectMapper MAPPER = mapper();

    private static final TypeFactory TYPES = MAPPER.getTypeFactory();
    private static final Map<String, JavaType> DATA = Map.of(
            "string", TYPES.constructType(String.class),
            "messages", TYPES.constructCollectionType(List.class, Message.class),
            "groups", TYPES.constructCollectionType(List.class, Group.class),
            "message page", TYPES.constructType(MessagePage.class),
            "notice page", TYPES.constructType(NoticePage.class));

    private Strict() {}

    /** Parses a reply whose {@code data} is of the named type. */
    static ResultDTO<?> reply(String text, String data) throws JsonProcessingException {
        return MAPPER.readValue(text, resultOf(data));
    }

    /** Converts a reply that another library has parsed. */
    static ResultDTO<?> convertedReply(Object parsed, String data) {
        return MAPPER.convertValue(parsed, resultOf(data));
    }

    /** The type of a reply whose {@code data} is of the named type. */
    static JavaType resultOf(String data) {
        return TYPES.constructParametricType(ResultDTO.class, DATA.get(data));
    }

    /** Parses a frame: its {@code data} is a message in a push, and text otherwise. */
    static ResultDTO<?> frame(String text) throws JsonProcessingException {
        return MAPPER.readValue(text, typeOf(MAPPER.readTree(text)));
    }

    /** Converts a frame that another library has parsed. */
    static ResultDTO<?> convertedFrame(Object parsed) {
        return MAPPER.convertValue(parsed, typeOf(MAPPER.valueToTree(parsed)));
    }

    private static JavaType typeOf(JsonNode frame) {
        int code = frame.path("code").asInt();
        JavaType data = TYPES.constructType(code == 2001 || code == 2002 ? Message.class : String.class);
        return TYPES.constructParametricType(ResultDTO.class, data);
    }

    private static ObjectMapper mapper() {
        ObjectMapper mapper = new ObjectMapper()
                .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES);
        for (CoercionInputShape shape : List.of(
                CoercionInputShape.Integer, CoercionInputShape.Float, CoercionInputShape.Boolean)) {
            mapper.coercionConfigFor(LogicalType.Textual).setCoercion(shape, CoercionAction.Fail);
        }
        mapper.coercionConfigFor(LogicalType.Integer)
                .setCoercion(CoercionInputShape.String, CoercionAction.Fail)
                .setCoercion(CoercionInputShape.Float, CoercionAction.Fail);
        return mapper;
    }
}
