import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** A gateway of ImcGateway that tests talk to: it reads commands and writes events, each a line of JSON. */
final class Program {
    public static void main(String[] arguments) throws Exception {
        try {
            run(ImcGateway.Json.object(ImcGateway.Json.parse(arguments[0])));
        } catch (ImcGateway.Ended ended) {
            tell("ended", "code", ended.code, "kind", ended.getClass().getSimpleName());
        }
    }

    private static void run(Map<String, Object> given) throws Exception {
        var options = new ImcGateway.Options(
                (String) given.get("url"), (String) given.get("appId"), (String) given.get("gatewayId"));
        if (given.get("token") instanceof String path) options.token(tokensOf(Path.of(path)));
        if (given.get("store") instanceof String path) options.store(new ImcGateway.FileStore(Path.of(path)));
        if (Boolean.TRUE.equals(given.get("notices"))) options.withNotices();
        if (given.get("buffer") instanceof Long events) options.buffer(events.intValue());
        try (ImcGateway gateway = ImcGateway.connect(options)) {
            tell("connected");
            Scanner lines = new Scanner(System.in, "UTF-8");
            while (lines.hasNextLine()) {
                Map<String, Object> command = ImcGateway.Json.object(ImcGateway.Json.parse(lines.nextLine()));
                if (command.get("send") != null) send(gateway, ImcGateway.Json.object(command.get("send")));
                long left = command.get("take") instanceof Long count ? count : 0;
                for (; left > 0; left--) tellEvent(gateway.next());
            }
            gateway.done();
        }
    }

    private static Supplier<String> tokensOf(Path path) {
        return () -> {
            tell("token");
            try {
                return Files.readString(path);
            } catch (java.io.IOException failed) {
                throw new java.io.UncheckedIOException(failed);
            }
        };
    }

    private static void send(ImcGateway gateway, Map<String, Object> body) throws Exception {
        String key = (String) body.get("key");
        CompletableFuture<ImcGateway.Sent> answer = gateway.send(
                (String) body.get("groupId"), (String) body.get("userId"), (String) body.get("content"), null, key);
        answer.whenComplete((sent, failed) -> {
            if (sent != null) tell("sent", "key", key, "id", sent.messageId(), "duplicate", sent.isDuplicate());
            else if (failed instanceof ImcGateway.ImcException error) tell("refused", "key", key, "code", error.code);
            else if (failed instanceof ImcGateway.Ended ended) tell("refused", "key", key, "code", ended.code);
        });
    }

    private static void tellEvent(ImcGateway.Event event) {
        if (event instanceof ImcGateway.MessageSent sent) tellMessage("messageSent", sent.message(), sent.isRepaired());
        else if (event instanceof ImcGateway.MessageRecalled recalled)
            tellMessage("messageRecalled", recalled.message(), recalled.isRepaired());
        else if (event instanceof ImcGateway.NoticePublished published)
            tell("noticePublished", "id", published.notice().informationId(), "content", published.notice().content());
        else if (event instanceof ImcGateway.NoticeDeleted deleted)
            tell("noticeDeleted", "id", deleted.notice().informationId(), "content", deleted.notice().content());
        else if (event instanceof ImcGateway.Gap gap) tell("gap", "isRepaired", gap.isRepaired());
    }

    private static void tellMessage(String event, ImcGateway.Message message, boolean isRepaired) {
        tell(event, "id", message.messageId(), "content", message.content(), "isRepaired", isRepaired);
    }

    private static synchronized void tell(String event, Object... fields) {
        Map<String, Object> all = ImcGateway.Json.fields("event", event);
        all.putAll(ImcGateway.Json.fields(fields));
        System.out.println(ImcGateway.Json.write(all));
    }
}
