package imc.clients;

import java.util.List;

/** A page of messages of the Java version. */
public record MessagePage(Long total, List<Message> pageMessageList) {}
