package imc.clients;

/** A notice of the Java version: these eleven fields and no other. */
public record Notice(
        String informationId,
        String appId,
        String groupId,
        String userId,
        String title,
        String content,
        Long createTime,
        Long deleteTime,
        String jumpUrl,
        Integer status,
        Integer type) {}
