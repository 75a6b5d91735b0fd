package imc.clients;

/** A JSON library that parses text into maps and lists. {@link Strict} then looks at fields and types. */
interface Parser {
    Object parse(String text) throws Exception;
}
