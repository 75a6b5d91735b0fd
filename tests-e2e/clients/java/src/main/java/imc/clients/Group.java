package imc.clients;

/** A group of the Java version. */
public record Group(String groupId, Message newMessage, Long updateTime, Long messageTotal) {}
