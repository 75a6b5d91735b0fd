package imc.clients;

/** A message as a gateway of the Java version declares it: these ten fields and no other. */
public record Message(
        String messageId,
        String appId,
        String groupId,
        String userId,
        String content,
        Long createTime,
        Long recallTime,
        String recallCause,
        Integer status,
        Integer type) {}
