import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A gateway of IMC, in one file: copy it into a package of yours. It needs Java 17 or newer, and nothing else.
 *
 * <pre>{@code
 * var options = new ImcGateway.Options("ws://127.0.0.1:8000", "demo", "gateway-1")
 *         .store(new ImcGateway.FileStore(Path.of("position")));
 * try (ImcGateway imc = ImcGateway.connect(options)) {
 *     imc.send("lobby", "ann", "hello").join();
 *     while (true) {
 *         if (imc.next() instanceof ImcGateway.MessageSent sent) System.out.println(sent.message().content());
 *     }
 * }
 * }</pre>
 *
 * <p>It hands out each event once and in order, and knows what became of its sends, across cuts, restarts and
 * failovers. An event counts as done when the next one is asked for; then its position goes to the store, and a new
 * process continues after it. If the old one was killed, the last events may come again.
 *
 * <p>After a gap it reads the history: what was missed comes before the {@link Gap}, group by group, as repaired. If
 * the history can't be read, the gap says that it is not repaired.
 *
 * <p>One thread may ask for events, and any number of threads may send.
 */
public final class ImcGateway implements AutoCloseable {

    /** What a gateway is told. */
    public sealed interface Event
            permits MessageSent, MessageRecalled, NoticePublished, NoticeDeleted, Erased, Gap {}

    /** An event of a message. If {@code isRepaired}, it was found in the history, and may come out of order. */
    private sealed interface OfMessage permits MessageSent, MessageRecalled {
        Message message();
    }

    /** Somebody has sent a message. */
    public record MessageSent(Message message, boolean isRepaired) implements Event, OfMessage {}

    /** A message was recalled: remove its content from every screen. */
    public record MessageRecalled(Message message, boolean isRepaired) implements Event, OfMessage {}

    /** A notice was published. */
    public record NoticePublished(Notice notice) implements Event {}

    /** A notice was deleted. */
    public record NoticeDeleted(Notice notice) implements Event {}

    /**
     * All that the user wrote, all of the group, or if both are null all of the app was erased: erase what you keep of
     * it from the events before this one.
     */
    public record Erased(String erasureId, String userId, String groupId, long eraseTime) implements Event {}

    /**
     * IMC could not prove that nothing was missed. If {@code isRepaired}, the messages and recalls that were missed
     * came just before. Notices may be missing in both cases.
     */
    public record Gap(boolean isRepaired) implements Event {}

    /** A message. Times are Unix milliseconds, {@code recallTime} is 0 until it is recalled; then it has no content. */
    public record Message(
            String messageId, String appId, String groupId, String userId, String content, long createTime,
            long recallTime, String recallCause, Integer type, boolean isRecalled) {}

    /** A notice: an announcement that is pinned to a group. {@code deleteTime} is 0 until it is deleted. */
    public record Notice(
            String informationId, String appId, String groupId, String userId, String title, String content,
            long createTime, long deleteTime, String jumpUrl, Integer type, boolean isDeleted) {}

    /** What became of a send. If it is a duplicate, the rest is that of the first send of its clientMessageId. */
    public record Sent(String messageId, long createTime, boolean isDuplicate) {}

    /** IMC refused something. */
    public static final class ImcException extends Exception {
        private static final long serialVersionUID = 1;
        /** One of the codes of failures, such as 40001. */
        public final int code;
        /** Whether the same can succeed later. */
        public final boolean isRetryable;

        ImcException(int code, String message, boolean isRetryable) {
            super(code + ": " + message);
            this.code = code;
            this.isRetryable = isRetryable;
        }
    }

    /** The connection has ended, and connecting again would not help. */
    public static class Ended extends Exception {
        private static final long serialVersionUID = 1;
        /** A close code, the HTTP status of a refused upgrade, or a code of failures. */
        public final int code;

        Ended(int code, String reason) {
            super(code + ": " + reason);
            this.code = code;
        }
    }

    /** A newer connection has the same gatewayId. Two that both came back would replace each other for ever. */
    public static final class Replaced extends Ended {
        private static final long serialVersionUID = 1;

        Replaced(int code, String reason) {
            super(code, reason);
        }
    }

    /** An operator has disconnected the gateway. */
    public static final class Disconnected extends Ended {
        private static final long serialVersionUID = 1;

        Disconnected(int code, String reason) {
            super(code, reason);
        }
    }

    /** Keeps one text: the position of a gateway. Write one of your own to keep it in a database, for example. */
    public interface Store {
        /** The text that was saved last, or null. */
        String load() throws IOException;

        /** Keep {@code position} instead of the one before. */
        void save(String position) throws IOException;
    }

    /** Keeps the position for as long as the process lives. */
    public static final class MemoryStore implements Store {
        private volatile String position;

        @Override
        public String load() {
            return position;
        }

        @Override
        public void save(String position) {
            this.position = position;
        }
    }

    /** Keeps the position in a file. A crash leaves the older text or the newer one, both whole. */
    public static final class FileStore implements Store {
        private final Path path;

        public FileStore(Path path) {
            this.path = path;
        }

        @Override
        public String load() throws IOException {
            try {
                return Files.readString(path);
            } catch (NoSuchFileException none) {
                return null;
            }
        }

        @Override
        public void save(String position) throws IOException {
            Path fresh = path.resolveSibling(path.getFileName() + ".new");
            Files.writeString(fresh, position);
            Files.move(fresh, path, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /** How to connect. Only what the constructor takes is needed. */
    public static final class Options {
        private final Addresses addresses;
        private Supplier<String> token = () -> null;
        private boolean isTokenRenewed;
        private Store store = new MemoryStore();
        private boolean notices;
        private String queriesUrl;
        private int buffer = 256;
        private int maxUnanswered = 1000;

        /** {@code url} is where IMC answers, such as {@code wss://imc.example.com}. */
        public Options(String url, String appId, String gatewayId) {
            addresses = Addresses.of(url, appId, gatewayId);
            queriesUrl = addresses.web;
        }

        /** A token that stays as it is. */
        public Options token(String fixed) {
            token = () -> fixed;
            return this;
        }

        /** Where fresh tokens come from: before each connection, and in time before a token ends. */
        public Options token(Supplier<String> fresh) {
            token = fresh;
            isTokenRenewed = true;
            return this;
        }

        /** Keeps the position. Without it a new process begins with what happens from then on. */
        public Options store(Store store) {
            this.store = store;
            return this;
        }

        /** Notices are wanted too. */
        public Options withNotices() {
            notices = true;
            return this;
        }

        /** Where queries are answered, if not below the url of the constructor. */
        public Options queriesUrl(String url) {
            queriesUrl = url.replaceAll("/$", "");
            return this;
        }

        /** How many events may wait to be handed out; 256 by default. */
        public Options buffer(int events) {
            buffer = events;
            return this;
        }

        /** How many sends may wait for their answer; 1,000 by default. */
        public Options maxUnanswered(int sends) {
            maxUnanswered = sends;
            return this;
        }
    }

    private static final Duration OPEN = Duration.ofSeconds(10);
    private static final Duration CALL = Duration.ofSeconds(20);
    private static final long CLOSE_MS = 1_000;
    private static final long SILENCE_MS = 45_000; // IMC pings every 15 seconds
    private static final long RESEND_MS = 1_000;
    private static final long SAVE_MS = 200;
    private static final long STUCK_MS = 200; // after so long, the thread of next() may wait for a send's answer
    private static final long REPAIR_MS = 60_000; // how long the history is asked for, while it is out of reach
    private static final long MARGIN_MS = 180_000; // how long before the newest known message it is read from: recalls
    private static final long FIRST_PAUSE_MS = 500;
    private static final long LONGEST_PAUSE_MS = 30_000;
    private static final long LEAD_MS = 60_000; // how long before its end a token is replaced
    private static final int PAGE = 500;
    private static final int MAX_KNOWN = 20_000;
    private static final int BAD_TOKEN = 4401;
    private static final Set<Integer> AT_ONCE = Set.of(1000, 1001, 1005, 1006, 1012, 4408);
    private static final Set<Integer> FINAL = Set.of(1003, 1007, 1008, 1009); // so are 44xx, but for 4408
    private static final Set<Integer> RETRYABLE_STATUSES = Set.of(408, 425, 429);
    private static final Set<Integer> RETRYABLE_CODES = Set.of(42901, 50001, 50301);

    private final Options options;
    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(OPEN).build();
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(ImcGateway::daemon);
    private final Thread runner = daemon(this::run);
    private final KnownEvents known = new KnownEvents(); // of the runner alone

    // All that follows is guarded by this object's monitor, which tells its waiters of every change.
    private final ArrayDeque<Item> inbox = new ArrayDeque<>();
    private final Map<String, Send> unanswered = new LinkedHashMap<>(); // by clientMessageId, in the order of the sends
    private long tradedAt; // when something came into the inbox or left it
    private Position read; // of the newest event in the inbox
    private Position handed; // of the newest event that was handed out
    private Position saved;
    private long savedAt;
    private Connection live; // once 2000 has come
    private boolean isBehind; // this connection left events out, as sends waited for answers and the inbox was full
    private boolean isClosed;
    private Exception fault;

    private record Item(Event event, Position position) {}

    private record Send(String frame, CompletableFuture<Sent> answer) {}

    private ImcGateway(Options options) throws IOException {
        this.options = options;
        read = handed = saved = Position.read(options.store.load());
    }

    /**
     * Connect. Returns once it is connected; throws {@link Ended} if it can't be, and what the store or the source of
     * tokens throws.
     */
    public static ImcGateway connect(Options options) throws Ended, IOException, InterruptedException {
        ImcGateway gateway = new ImcGateway(options);
        gateway.runner.start();
        try {
            gateway.awaitConnected();
            return gateway;
        } catch (Ended | RuntimeException | InterruptedException failed) {
            gateway.close();
            throw failed;
        }
    }

    /** Whether there is a connection now. Events and sends do not depend on it: they are made up for. */
    public synchronized boolean isConnected() {
        return live != null;
    }

    /** Waits for the next event. Throws {@link Ended} when the connection has ended for good, or was closed. */
    public Event next() throws Ended, IOException, InterruptedException {
        boolean isDue;
        synchronized (this) {
            isDue = inbox.isEmpty() || now() - savedAt >= SAVE_MS;
        }
        if (isDue) done();
        synchronized (this) {
            while (inbox.isEmpty()) {
                throwFault();
                wait();
            }
            Item item = inbox.remove();
            handed = item.position;
            tradedAt = now();
            notifyAll();
            // Now there is room for what was left out: the next connection has it.
            if (isBehind && inbox.isEmpty() && live != null) live.items.add(Ending.atOnce("events were left out"));
            return item.event;
        }
    }

    /** The last event is done, though no other one is asked for: call this before you stop. */
    public void done() throws IOException {
        Position position;
        synchronized (this) {
            position = handed;
            if (position == saved) return;
        }
        options.store.save(position.text());
        synchronized (this) {
            saved = position;
            savedAt = now();
        }
    }

    /** As the other {@code send}, with a clientMessageId that is made up, and no type. */
    public CompletableFuture<Sent> send(String groupId, String userId, String content)
            throws Ended, InterruptedException {
        return send(groupId, userId, content, null, UUID.randomUUID().toString());
    }

    /**
     * Sends a message. The future is completed when the message is known to be in the log, across cuts and restarts. It
     * fails with {@link ImcException} if the send is refused for good, and with {@link Ended}. Give a {@code
     * clientMessageId} of your own to repeat the send from another process. {@code type} may be null. Waits while too
     * many sends have no answer.
     */
    public synchronized CompletableFuture<Sent> send(
            String groupId, String userId, String content, Integer type, String clientMessageId)
            throws Ended, InterruptedException {
        while (unanswered.size() >= options.maxUnanswered && fault == null && !isClosed) wait();
        throwFault();
        if (unanswered.containsKey(clientMessageId)) {
            throw new IllegalArgumentException(clientMessageId + " is being sent already");
        }
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("groupId", groupId);
        body.put("userId", userId);
        body.put("content", content);
        body.put("type", type);
        body.put("clientMessageId", clientMessageId);
        Send send = new Send(Json.write(body), new CompletableFuture<>());
        unanswered.put(clientMessageId, send);
        notifyAll();
        write(clientMessageId);
        return send.answer;
    }

    /** Closes the connection. Sends without an answer fail then: nobody knows what became of them. */
    @Override
    public void close() {
        synchronized (this) {
            isClosed = true;
            notifyAll();
        }
        runner.interrupt();
        try {
            runner.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        timer.shutdownNow();
    }

    private synchronized void awaitConnected() throws Ended, InterruptedException {
        while (live == null) {
            throwFault();
            wait();
        }
    }

    private void throwFault() throws Ended {
        if (fault instanceof Ended ended) throw ended;
        if (fault instanceof RuntimeException failed) throw failed;
        if (fault != null) throw new IllegalStateException(fault);
    }

    /** Stay connected until there is no use in it. Runs in a thread of its own. */
    private void run() {
        Exception end = new Ended(1000, "the gateway was closed");
        try {
            int failures = 0;
            int refusedTokens = 0;
            while (true) {
                Ending ending = connectOnce();
                setLive(null);
                refusedTokens = ending.isOfToken ? refusedTokens + 1 : 0;
                boolean mayRenew = refusedTokens == 1 && options.isTokenRenewed;
                if (ending.fault != null && !mayRenew) throw ending.fault;
                failures = ending.wasConnected ? 0 : failures + 1;
                Thread.sleep(ending.pauseMs.orElse(pauseAfter(failures)));
            }
        } catch (InterruptedException closed) {
            // The reason is set.
        } catch (Exception failed) {
            end = failed;
        }
        List<Send> left;
        synchronized (this) {
            live = null;
            fault = end;
            left = List.copyOf(unanswered.values());
            unanswered.clear();
            notifyAll();
        }
        for (Send send : left) send.answer.completeExceptionally(end);
    }

    private Ending connectOnce() throws Exception {
        synchronized (this) {
            isBehind = false;
        }
        String token = options.token.get();
        Ending ending = Ending.failure("no connection");
        for (String url : urls(token)) {
            Connection connection = new Connection();
            try {
                connection.open(url, token);
            } catch (ExecutionException failed) {
                ending = Ending.ofRefusal(failed.getCause());
                continue;
            }
            try {
                return listen(connection, token);
            } finally {
                connection.end();
            }
        }
        return ending;
    }

    /** Where to connect: at its node, if there is one, then at the common address. */
    private List<String> urls(String token) throws InterruptedException {
        List<String> urls = new ArrayList<>();
        try {
            HttpResponse<String> reply = get(options.addresses.node(), token, OPEN);
            Map<String, Object> data = Json.object(Json.object(Json.parse(reply.body())).get("data"));
            if (reply.statusCode() == 200) urls.add((String) data.get("connectUrl"));
        } catch (IOException | RuntimeException none) {
            // The common address always works.
        }
        urls.add(options.addresses.common());
        return urls;
    }

    private HttpResponse<String> get(String url, String token, Duration timeout)
            throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).timeout(timeout);
        if (token != null) request.header("Authorization", "Bearer " + token);
        return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    /** Takes frames until the connection ends. */
    private Ending listen(Connection connection, String token) throws Exception {
        connection.renewInTime(token);
        Ending refusal = null;
        while (true) {
            Object item = connection.nextItem();
            if (item instanceof Ending ending) return refusal != null ? refusal : ending.since(isConnected());
            Map<String, Object> frame = Json.object(Json.parse((String) item));
            Ending refused = take(connection, frame);
            refusal = refused != null ? refused : refusal;
            connection.socket.request(1);
        }
    }

    /** Takes one frame; returns an ending if it is a refusal of the connection. */
    private Ending take(Connection connection, Map<String, Object> frame) throws InterruptedException {
        int code = Json.integer(frame.get("code"));
        String cursor = (String) frame.get("cursor");
        String message = (String) frame.get("message");
        Map<String, Object> data = frame.get("data") instanceof Map<?, ?> map ? Json.object(map) : Map.of();
        switch (code) {
            case 2000 -> connected(connection, cursor);
            case 2001 -> takeMessage(new MessageSent(messageOf(data), false), cursor);
            case 2002 -> takeMessage(new MessageRecalled(messageOf(data), false), cursor);
            case 2003 -> {
                Sent sent = new Sent(
                        (String) data.get("messageId"), (long) data.get("createTime"), (boolean) data.get("duplicate"));
                Send send = answered((String) data.get("clientMessageId"));
                if (send != null) send.answer.complete(sent);
            }
            case 2004 -> put(new NoticePublished(noticeOf(data)), after(cursor, 0));
            case 2005 -> put(new NoticeDeleted(noticeOf(data)), after(cursor, 0));
            case 2006 -> {
                Erased erased = new Erased(
                        (String) data.get("erasureId"), (String) data.get("userId"), (String) data.get("groupId"),
                        (long) data.get("eraseTime"));
                put(erased, after(cursor, 0));
            }
            case 4000 -> {
                Ended ended = new Ended(Json.integer(data.get("error")), message);
                return Boolean.TRUE.equals(data.get("retryable")) ? Ending.failure(message) : Ending.last(ended);
            }
            case 4001 -> refused(message, data);
            case 4002 -> repair((String) data.get("to"));
            default -> {} // of a newer version
        }
        return null;
    }

    private synchronized void connected(Connection connection, String cursor) {
        // It goes to the store as it is: a new process must not begin later than this one.
        if (read.cursor == null) read = handed = read.after(cursor, now());
        setLive(connection);
        List.copyOf(unanswered.keySet()).forEach(this::write);
    }

    private synchronized void setLive(Connection connection) {
        live = connection;
        notifyAll();
    }

    private synchronized Position after(String cursor, long newest) {
        return read.after(cursor, newest);
    }

    private <E extends Event & OfMessage> void takeMessage(E event, String cursor) throws InterruptedException {
        Position position = after(cursor, event.message().createTime());
        if (known.has(event)) {
            // It was found in the history after a gap, and the log has it too.
            synchronized (this) {
                if (!isBehind) read = position;
            }
        } else if (put(event, position)) {
            known.learn(event);
        }
    }

    /** Hands an event on; returns whether it was. Waits for room, but not long while sends wait for answers. */
    private synchronized boolean put(Event event, Position position) throws InterruptedException {
        while (inbox.size() >= options.buffer && !isBehind) {
            long patience = tradedAt + STUCK_MS - now();
            // Answers come on this connection too. What is left out now comes after a reconnect.
            if (unanswered.isEmpty()) wait();
            else if (patience > 0) wait(patience);
            else isBehind = true;
        }
        if (isBehind) return false;
        read = position;
        inbox.add(new Item(event, position));
        tradedAt = now();
        notifyAll();
        return true;
    }

    private synchronized void write(String clientMessageId) {
        Send send = unanswered.get(clientMessageId);
        if (send != null && live != null) live.write(send.frame);
    }

    private synchronized Send answered(String clientMessageId) {
        Send send = unanswered.remove(clientMessageId);
        notifyAll();
        return send;
    }

    private void refused(String message, Map<String, Object> data) {
        String clientMessageId = (String) data.get("clientMessageId");
        if (Boolean.TRUE.equals(data.get("retryable"))) {
            long pause = data.get("retryAfter") instanceof Long given ? given : RESEND_MS;
            long random = ThreadLocalRandom.current().nextLong(pause / 2 + 1);
            timer.schedule(() -> write(clientMessageId), pause + random, TimeUnit.MILLISECONDS);
            return;
        }
        Send send = answered(clientMessageId);
        ImcException error = new ImcException(Json.integer(data.get("error")), message, false);
        if (send != null) send.answer.completeExceptionally(error);
    }

    /** Hands on what the history knows of the time of a gap, then tells of the gap itself. */
    private void repair(String to) throws InterruptedException {
        long deadline = now() + REPAIR_MS;
        boolean isRepaired = false;
        for (int failures = 2; !isRepaired; failures++) {
            try {
                if (!putMissed(to)) return; // the gap is told again after the reconnect
                isRepaired = true;
            } catch (IOException | RuntimeException | ImcException failed) {
                boolean isFinal = failed instanceof ImcException error && !error.isRetryable;
                if (isFinal || now() > deadline) break;
                Thread.sleep(pauseAfter(failures));
            }
        }
        put(new Gap(isRepaired), after(to, 0));
    }

    /** Reads what is not known since shortly before the newest message: group by group. */
    private boolean putMissed(String to) throws IOException, InterruptedException, ImcException {
        long start = Math.max(0, after(null, 0).newest - MARGIN_MS);
        String after = null;
        while (true) {
            Map<String, Object> page = query("groups", Json.fields("after", after, "limit", PAGE, "minCursor", to));
            for (Object each : (List<?>) page.get("groups")) {
                Map<String, Object> group = Json.object(each);
                if ((long) group.get("updateTime") < start) return true;
                if (!putMissedOf((String) group.get("groupId"), start, to)) return false;
                after = (String) Json.object(group.get("newMessage")).get("messageId");
            }
            if (!Boolean.TRUE.equals(page.get("hasMore"))) return true;
        }
    }

    /** The same of one group, oldest first, with a page in memory at a time. */
    private boolean putMissedOf(String groupId, long start, String to)
            throws IOException, InterruptedException, ImcException {
        Map<String, Object> page = messages(groupId, start, to, null, null);
        while (Boolean.TRUE.equals(page.get("hasMore"))) {
            page = messages(groupId, start, to, messageOf(((List<?>) page.get("messages")).get(0)).messageId, null);
        }
        while (true) {
            String last = null;
            for (Object each : (List<?>) page.get("messages")) {
                Message message = messageOf(each);
                last = message.messageId;
                boolean isTaken = message.isRecalled
                        ? putUnknown(new MessageRecalled(message, true))
                        : putUnknown(new MessageSent(message, true));
                if (!isTaken) return false;
            }
            if (last == null) return true;
            page = messages(groupId, start, to, null, last);
        }
    }

    private <E extends Event & OfMessage> boolean putUnknown(E event) throws InterruptedException {
        if (known.has(event)) return true;
        if (!put(event, after(null, 0))) return false;
        known.learn(event);
        return true;
    }

    private Map<String, Object> messages(String groupId, long start, String to, String before, String after)
            throws IOException, InterruptedException, ImcException {
        return query("messages", Json.fields(
                "groupId", groupId, "startTime", start, "before", before, "after", after, "limit", PAGE,
                "minCursor", to));
    }

    private Map<String, Object> query(String name, Map<String, Object> parameters)
            throws IOException, InterruptedException, ImcException {
        StringBuilder url = new StringBuilder(options.queriesUrl + "/v1/queries/" + name);
        url.append("?appId=").append(escaped(options.addresses.appId));
        parameters.forEach((key, value) -> url.append('&').append(key).append('=').append(escaped(value.toString())));
        Map<String, Object> reply = Json.object(Json.parse(get(url.toString(), options.token.get(), CALL).body()));
        int code = Json.integer(reply.get("code"));
        if (code != 0) throw new ImcException(code, (String) reply.get("message"), RETRYABLE_CODES.contains(code));
        return Json.object(reply.get("data"));
    }

    private static Message messageOf(Object view) {
        Map<String, Object> data = Json.object(view);
        return new Message(
                (String) data.get("messageId"), (String) data.get("appId"), (String) data.get("groupId"),
                (String) data.get("userId"), (String) data.get("content"), (long) data.get("createTime"),
                (long) data.get("recallTime"), (String) data.get("recallCause"), Json.integer(data.get("type")),
                Json.integer(data.get("status")) == 0);
    }

    private static Notice noticeOf(Map<String, Object> data) {
        return new Notice(
                (String) data.get("informationId"), (String) data.get("appId"), (String) data.get("groupId"),
                (String) data.get("userId"), (String) data.get("title"), (String) data.get("content"),
                (long) data.get("createTime"), (long) data.get("deleteTime"), (String) data.get("jumpUrl"),
                Json.integer(data.get("type")), Json.integer(data.get("status")) == 0);
    }

    /** How long to wait: not at all at first, then a random time up to a bound that doubles. */
    private static long pauseAfter(int failures) {
        if (failures < 1) return 0;
        long longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << Math.min(failures - 1, 10));
        return ThreadLocalRandom.current().nextLong(longest + 1);
    }

    /** In how many milliseconds a token should be replaced; empty if that can't be known. */
    private static OptionalLong renewIn(String token) {
        try {
            byte[] claims = Base64.getUrlDecoder().decode(token.split("\\.")[1]);
            Object end = Json.object(Json.parse(new String(claims, StandardCharsets.UTF_8))).get("exp");
            long left = (long) (((Number) end).doubleValue() * 1000) - now();
            // A short-lived token is replaced after half its time.
            return OptionalLong.of(Math.max(1000, left - Math.min(LEAD_MS, left / 2)));
        } catch (RuntimeException none) {
            return OptionalLong.empty();
        }
    }

    private static String escaped(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static long now() {
        return System.currentTimeMillis();
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work, "imc-gateway");
        thread.setDaemon(true);
        return thread;
    }

    /** One WebSocket. Nothing is read from the network while a frame waits in {@code items}. */
    private final class Connection implements WebSocket.Listener {
        private final BlockingQueue<Object> items = new LinkedBlockingQueue<>(); // a text, or the ending
        private final StringBuilder text = new StringBuilder();
        private WebSocket socket;
        private CompletableFuture<?> writing = CompletableFuture.completedFuture(null);
        private ScheduledFuture<?> renewal;
        private volatile long heardAt;

        void open(String url, String token) throws ExecutionException, InterruptedException {
            WebSocket.Builder builder = http.newWebSocketBuilder().connectTimeout(OPEN);
            if (token != null) builder.header("Authorization", "Bearer " + token);
            Map<String, Object> query = Json.fields(
                    "cursor", after(null, 0).cursor, "notices", options.notices ? "1" : null);
            StringBuilder target = new StringBuilder(url);
            query.forEach((name, value) -> target.append(target.indexOf("?") < 0 ? '?' : '&')
                    .append(name).append('=').append(escaped(value.toString())));
            socket = builder.buildAsync(URI.create(target.toString()), this).get();
        }

        /** The next text, or how the connection ended. */
        Object nextItem() throws InterruptedException {
            heardAt = now();
            while (true) {
                long left = heardAt + SILENCE_MS - now();
                if (left <= 0) return Ending.atOnce("nothing was heard for too long");
                Object item = items.poll(left, TimeUnit.MILLISECONDS);
                if (item != null) return item;
            }
        }

        /** Writes one text after the other: the next may begin when the one before it is done. */
        synchronized void write(String frame) {
            writing = writing.thenCompose(done -> socket.sendText(frame, true));
        }

        /** Sends a fresh token in time: a connection ends with its token. */
        synchronized void renewInTime(String token) {
            OptionalLong pause = options.isTokenRenewed ? renewIn(token) : OptionalLong.empty();
            if (pause.isPresent()) renewal = timer.schedule(this::renew, pause.getAsLong(), TimeUnit.MILLISECONDS);
        }

        private void renew() {
            String token = options.token.get();
            write(Json.write(Json.fields("token", token)));
            renewInTime(token);
        }

        synchronized void end() {
            if (renewal != null) renewal.cancel(false);
            socket.sendClose(WebSocket.NORMAL_CLOSURE, "")
                    .orTimeout(CLOSE_MS, TimeUnit.MILLISECONDS)
                    .whenComplete((done, failed) -> socket.abort());
        }

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            heardAt = now();
            text.append(part);
            if (last) {
                items.add(text.toString());
                text.setLength(0);
            } else {
                from.request(1);
            }
            return null;
        }

        @Override
        public CompletionStage<?> onPing(WebSocket from, ByteBuffer content) {
            heardAt = now();
            from.request(1);
            return null; // the pong is written by itself
        }

        @Override
        public CompletionStage<?> onClose(WebSocket from, int code, String reason) {
            items.add(Ending.ofClose(code, reason));
            return null;
        }

        @Override
        public void onError(WebSocket from, Throwable error) {
            items.add(Ending.atOnce(error.toString()));
        }
    }

    /**
     * Why there is no connection. With a {@code fault}, connecting again would not help, unless it {@code isOfToken}
     * and there is a fresh one. Without {@code pauseMs}, the pause is random and grows with each failure in a row.
     */
    private record Ending(String words, OptionalLong pauseMs, Ended fault, boolean isOfToken, boolean wasConnected) {
        static Ending atOnce(String words) {
            return new Ending(words, OptionalLong.empty(), null, false, true);
        }

        static Ending failure(String words) {
            return new Ending(words, OptionalLong.empty(), null, false, false);
        }

        static Ending last(Ended fault) {
            return new Ending(fault.getMessage(), OptionalLong.empty(), fault, false, false);
        }

        static Ending ofClose(int code, String reason) {
            String words = code + ": " + reason;
            if (AT_ONCE.contains(code)) return atOnce(words);
            Ended fault = code == 4409 ? new Replaced(code, reason)
                    : code == 4410 ? new Disconnected(code, reason) : new Ended(code, reason);
            if (code == BAD_TOKEN) return new Ending(words, OptionalLong.empty(), fault, true, true);
            return FINAL.contains(code) || code >= 4400 ? last(fault) : failure(words);
        }

        /** What it means that the upgrade failed. */
        static Ending ofRefusal(Throwable cause) {
            if (!(cause instanceof WebSocketHandshakeException refused)) return failure(String.valueOf(cause));
            int status = refused.getResponse().statusCode();
            Ended fault = new Ended(status, "the upgrade was refused with status " + status);
            if (status == 401) return new Ending(fault.getMessage(), OptionalLong.empty(), fault, true, false);
            if (status >= 400 && status < 500 && !RETRYABLE_STATUSES.contains(status)) return last(fault);
            String after = refused.getResponse().headers().firstValue("Retry-After").orElse("");
            OptionalLong pause = after.matches("\\d{1,6}")
                    ? OptionalLong.of(Long.parseLong(after) * 1000) : OptionalLong.empty();
            return new Ending(fault.getMessage(), pause, null, false, false);
        }

        /** The same, if 2000 had come or not. */
        Ending since(boolean wasConnected) {
            return new Ending(words, pauseMs, fault, isOfToken, this.wasConnected && wasConnected);
        }
    }

    /** The addresses of one gateway. */
    private record Addresses(String web, String appId, String path) {
        static Addresses of(String url, String appId, String gatewayId) {
            URI uri = URI.create(url);
            boolean isGood = uri.getHost() != null && uri.getQuery() == null && uri.getFragment() == null
                    && Set.of("ws", "wss", "http", "https").contains(uri.getScheme());
            if (!isGood) {
                throw new IllegalArgumentException(
                        "url must be ws://HOST, wss://HOST, http://HOST or https://HOST, a path may follow");
            }
            String web = url.replaceAll("^ws", "http").replaceAll("/$", "");
            return new Addresses(web, appId, "/v1/gateways/" + escaped(appId) + "/" + escaped(gatewayId));
        }

        /** Where to ask which node the gateway belongs to. */
        String node() {
            return web + path + "/node";
        }

        /** The WebSocket at the common address. */
        String common() {
            return web.replaceAll("^http", "ws") + path;
        }
    }

    /** Where a gateway is in the log of its app, and the createTime of the newest message until there. */
    private record Position(String cursor, long newest) {
        Position after(String cursor, long newest) {
            return new Position(cursor == null ? this.cursor : cursor, Math.max(this.newest, newest));
        }

        String text() {
            return newest + " " + (cursor == null ? "" : cursor);
        }

        static Position read(String text) {
            if (text == null || text.isEmpty()) return new Position(null, 0);
            if (!text.matches("\\d{1,18} .*")) {
                throw new IllegalStateException(
                        "the store holds what is no position of a gateway; empty it, and history is lost");
            }
            int space = text.indexOf(' ');
            String cursor = text.substring(space + 1);
            return new Position(cursor.isEmpty() ? null : cursor, Long.parseLong(text.substring(0, space)));
        }
    }

    /** The newest messages that the gateway got, by id, and whether it was told that they were recalled. */
    private static final class KnownEvents {
        private final Map<String, Boolean> recalled = new LinkedHashMap<>() {
            private static final long serialVersionUID = 1;

            @Override
            protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
                return size() > MAX_KNOWN;
            }
        };

        void learn(OfMessage event) {
            String messageId = event.message().messageId;
            boolean wasRecalled = Boolean.TRUE.equals(recalled.remove(messageId));
            recalled.put(messageId, wasRecalled || event instanceof MessageRecalled);
        }

        /** Whether the event was handed on, or one that says more. */
        boolean has(OfMessage event) {
            Boolean wasRecalled = recalled.get(event.message().messageId);
            return wasRecalled != null && (wasRecalled || event instanceof MessageSent);
        }
    }

    /** As much of JSON (RFC 8259) as IMC's frames and replies need: maps, lists, texts, Long, Double, Boolean, null. */
    static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        /** Throws {@link IllegalArgumentException} for what is no JSON. */
        static Object parse(String text) {
            Json json = new Json(text);
            Object value = json.value();
            if (json.peek() != 0) throw json.malformed();
            return value;
        }

        @SuppressWarnings("unchecked")
        static Map<String, Object> object(Object value) {
            if (value instanceof Map<?, ?> map) return (Map<String, Object>) map;
            throw new IllegalArgumentException("no JSON object: " + value);
        }

        static Integer integer(Object value) {
            return value == null ? null : Math.toIntExact((long) value);
        }

        /** Names and values in turn; those that are null are left out. */
        static Map<String, Object> fields(Object... namesAndValues) {
            Map<String, Object> fields = new LinkedHashMap<>();
            for (int i = 0; i < namesAndValues.length; i += 2) {
                if (namesAndValues[i + 1] != null) fields.put((String) namesAndValues[i], namesAndValues[i + 1]);
            }
            return fields;
        }

        /** An object of texts, numbers and nulls. */
        static String write(Map<String, ?> object) {
            StringBuilder out = new StringBuilder("{");
            object.forEach((name, value) -> {
                if (out.length() > 1) out.append(',');
                out.append(quoted(name)).append(':').append(value instanceof String string ? quoted(string) : value);
            });
            return out.append('}').toString();
        }

        private static String quoted(String text) {
            StringBuilder out = new StringBuilder("\"");
            for (char c : text.toCharArray()) {
                if (c == '"' || c == '\\') out.append('\\').append(c);
                else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
                else out.append(c);
            }
            return out.append('"').toString();
        }

        private Object value() {
            return switch (peek()) {
                case '{' -> map();
                case '[' -> list();
                case '"' -> string();
                case 't' -> word("true", true);
                case 'f' -> word("false", false);
                case 'n' -> word("null", null);
                default -> number();
            };
        }

        private Map<String, Object> map() {
            Map<String, Object> map = new LinkedHashMap<>();
            for (boolean more = opens('}'); more; more = goesOn('}')) {
                if (peek() != '"') throw malformed();
                String name = string();
                if (peek() != ':') throw malformed();
                at++;
                map.put(name, value());
            }
            return map;
        }

        private List<Object> list() {
            List<Object> list = new ArrayList<>();
            for (boolean more = opens(']'); more; more = goesOn(']')) list.add(value());
            return list;
        }

        /** Passes what opens a list or object; returns whether something is in it. */
        private boolean opens(char end) {
            at++;
            if (peek() != end) return true;
            at++;
            return false;
        }

        /** Passes a comma or the end; returns whether it was a comma. */
        private boolean goesOn(char end) {
            char c = peek();
            if (c != ',' && c != end) throw malformed();
            at++;
            return c == ',';
        }

        private String string() {
            StringBuilder out = new StringBuilder();
            for (at++; at < text.length(); at++) {
                char c = text.charAt(at);
                if (c == '"') {
                    at++;
                    return out.toString();
                }
                out.append(c == '\\' ? escape() : c);
            }
            throw malformed();
        }

        private char escape() {
            at++;
            char c = at < text.length() ? text.charAt(at) : 0;
            int index = "\"\\/bfnrt".indexOf(c);
            if (index >= 0) return "\"\\/\b\f\n\r\t".charAt(index);
            if (c != 'u' || at + 4 >= text.length()) throw malformed();
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 3, at + 1), 16);
        }

        private Object word(String word, Object value) {
            if (!text.startsWith(word, at)) throw malformed();
            at += word.length();
            return value;
        }

        private Object number() {
            int start = at;
            while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) at++;
            String number = text.substring(start, at);
            if (number.matches("-?\\d{1,18}")) return Long.parseLong(number);
            if (number.isEmpty()) throw malformed();
            return Double.parseDouble(number);
        }

        /** The next character that is no white space; 0 at the end. */
        private char peek() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
            return at < text.length() ? text.charAt(at) : 0;
        }

        private IllegalArgumentException malformed() {
            return new IllegalArgumentException("no JSON at character " + at);
        }
    }
}
