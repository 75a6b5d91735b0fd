package imc.clients;

/** The envelope as a gateway of the Java version declares it: these four fields and no other. */
public record ResultDTO<T>(boolean success, Integer code, String message, T data) {}
