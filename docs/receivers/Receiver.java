// Receives hotline-watch's warnings with Java 17 alone: verifies, stores, files each case in order, pulls what is missing.
//
//     WEBHOOK_SECRETS=whsec_… PORT=8080 java Receiver.java
//
// From the environment: WEBHOOK_SECRETS (comma separated: two while a secret is replaced), STORE (a file of JSON lines, one process
// each), HOST, PORT; PULL_URL, PULL_TOKEN and PULL_SECONDS (how often it pulls anyway); SKIP_GAPS=1 (after the first pull, wait no
// more for what nobody has). Put a proxy with TLS before it that passes on POST /alerts alone; GET /filed is for trying out.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.*;
import java.io.*;
import java.math.BigDecimal;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.file.*;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Receiver {
    static final int BODY_BYTES_MAX = 1024 * 1024;
    static final int PAGE_BYTES_MAX = 64 * 1024 * 1024;
    static final long TOLERANCE_SECONDS = 300;

    public static void main(String[] arguments) throws Exception {
        System.setProperty("sun.net.httpserver.maxReqTime", "60"); // seconds that a caller may take to send
        var secrets = secretsOf(env("WEBHOOK_SECRETS", ""));
        var store = new Store(Path.of(env("STORE", "warnings.jsonl")));
        var wake = new Semaphore(0);
        var server = HttpServer.create(new InetSocketAddress(env("HOST", "127.0.0.1"), Integer.parseInt(env("PORT", "8080"))), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> {
            String call = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
            if (call.equals("GET /filed")) {
                byte[] answer = Json.write(store.filed()).getBytes(UTF_8);
                exchange.getResponseHeaders().set("Content-Type", "application/json");
                exchange.sendResponseHeaders(200, answer.length);
                exchange.getResponseBody().write(answer);
            } else {
                int status = call.equals("POST /alerts") ? receive(exchange, secrets, store) : 404;
                if (status == 204) wake.release();
                exchange.sendResponseHeaders(status, -1);
            }
            exchange.close();
        });
        server.start();
        System.out.println("listening on " + server.getAddress().getPort());
        work(store, wake);
    }

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    static void fail(String message) {
        System.err.println(message);
        Runtime.getRuntime().halt(1);
    }

    static List<byte[]> secretsOf(String texts) {
        var secrets = new ArrayList<byte[]>();
        for (String text : texts.split(",")) {
            try {
                String bare = text.strip().startsWith("whsec_") ? text.strip().substring(6) : "";
                if (!text.isBlank()) secrets.add(Base64.getDecoder().decode(bare));
            } catch (IllegalArgumentException notBase64) {
                secrets.add(new byte[0]);
            }
        }
        boolean good = !secrets.isEmpty() && secrets.stream().allMatch(secret -> secret.length >= 24);
        if (!good) fail("WEBHOOK_SECRETS: give whsec_…, several separated by commas");
        return secrets;
    }

    static int receive(HttpExchange exchange, List<byte[]> secrets, Store store) throws IOException {
        Headers headers = exchange.getRequestHeaders();
        if (Long.parseLong(Objects.requireNonNullElse(headers.getFirst("Content-Length"), "0")) > BODY_BYTES_MAX) return 413;
        byte[] body = exchange.getRequestBody().readNBytes(BODY_BYTES_MAX + 1);
        if (body.length > BODY_BYTES_MAX) return 413;
        if (!isVerified(secrets, headers, body)) return 401;
        try {
            String text = UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString(); // refuses what is no UTF-8
            store.take(List.of(entryOf(headers.getFirst("Webhook-Id"), Json.parse(text), false)), null);
            return 204;
        } catch (IOException | IllegalArgumentException notADelivery) {
            return 400;
        }
    }

    /** Whether one of the secrets signed this very body within the last five minutes. */
    static boolean isVerified(List<byte[]> secrets, Headers headers, byte[] body) {
        String id = headers.getFirst("Webhook-Id"), timestamp = headers.getFirst("Webhook-Timestamp");
        String signatures = headers.getFirst("Webhook-Signature");
        if (id == null || timestamp == null || signatures == null || !timestamp.matches("[0-9]{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE_SECONDS) return false;
        boolean found = false;
        try {
            for (byte[] secret : secrets) {
                Mac mac = Mac.getInstance("HmacSHA256");
                mac.init(new SecretKeySpec(secret, "HmacSHA256"));
                mac.update((id + "." + timestamp + ".").getBytes(UTF_8));
                byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(UTF_8);
                for (String one : signatures.split(" ")) found |= MessageDigest.isEqual(expected, one.getBytes(UTF_8));
            }
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException(missing);
        }
        return found;
    }

    record Entry(String id, String caseId, long number, boolean drill, boolean whole, Object alert) {}

    /** A delivery as it is stored. Throws IllegalArgumentException where it is none. */
    static Entry entryOf(Object id, Object delivery, boolean pulled) {
        if (!(id instanceof String name && delivery instanceof Map<?, ?> alert && alert.get("case_id") instanceof String caseId
                && alert.get("delivery_sequence") instanceof BigDecimal number && number.scale() == 0 && number.signum() > 0
                && number.precision() < 17)) throw new IllegalArgumentException("not a delivery");
        boolean drill = Boolean.TRUE.equals(alert.get("drill")) || "drill".equals(alert.get("kind"));
        boolean whole = pulled || !alert.containsKey("fetch") || env("PULL_URL", "").isEmpty(); // a thin call waits for its contents
        return new Entry(name, caseId, number.longValue(), drill, whole, alert);
    }

    /** Lines {took…}, {filed} and {cursor}, each on the disk before it counts. What the fields say is what the lines say. */
    static final class Store {
        private final FileChannel file;
        private final Map<String, Boolean> whole = new HashMap<>(); // delivery id → whether all of it is here
        private final Map<String, Entry> waiting = new LinkedHashMap<>(); // not filed yet
        private final Map<String, Long> last = new HashMap<>(); // case id → the greatest delivery_sequence filed
        private final List<Map<String, Object>> filed = new ArrayList<>();
        private String cursor = "";

        Store(Path path) throws IOException {
            file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            if (file.tryLock() == null) fail("the store is in use");
            if (path.getFileSystem().supportedFileAttributeViews().contains("posix")) {
                Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            }
            long end = 0;
            var line = new ByteArrayOutputStream();
            var input = new BufferedInputStream(Channels.newInputStream(file));
            for (int next = input.read(); next >= 0; next = input.read()) {
                line.write(next);
                if (next != '\n') continue;
                end += line.size();
                apply((Map<?, ?>) Json.parse(line.toString(UTF_8)));
                line.reset();
            }
            file.truncate(end).position(end); // half a line was never acknowledged
        }

        private void apply(Map<?, ?> line) {
            if (line.get("cursor") instanceof String next) cursor = next;
            if (line.get("took") instanceof String id) {
                boolean isFiled = whole.containsKey(id) && !waiting.containsKey(id);
                Entry entry = entryOf(id, line.get("alert"), Boolean.TRUE.equals(line.get("whole")));
                whole.put(id, entry.whole);
                if (!isFiled) waiting.put(id, entry);
            }
            if (line.get("filed") instanceof String id) {
                Entry entry = waiting.remove(id);
                last.merge(entry.caseId, entry.number, Math::max);
                if (entry.drill) return;
                filed.add(Map.of("case_id", entry.caseId, "delivery_sequence", entry.number, "delivery_id", id));
            }
        }

        private void append(List<Map<String, Object>> lines) {
            var text = new StringBuilder();
            for (var line : lines) text.append(Json.write(line)).append('\n');
            try {
                ByteBuffer bytes = ByteBuffer.wrap(text.toString().getBytes(UTF_8));
                while (bytes.hasRemaining()) file.write(bytes);
                file.force(true);
            } catch (IOException error) {
                fail("the store cannot be written"); // the next start cuts half a line off
            }
            lines.forEach(this::apply);
        }

        /** Keep what is new and, after it, the cursor. What came thin is completed by what is pulled. */
        synchronized void take(List<Entry> entries, String next) {
            var lines = new ArrayList<Map<String, Object>>();
            var drills = new ArrayList<String>();
            for (Entry entry : entries) {
                if (whole.containsKey(entry.id) && (!entry.whole || whole.get(entry.id))) continue;
                if (entry.drill && !whole.containsKey(entry.id)) drills.add(entry.id);
                lines.add(Map.of("took", entry.id, "whole", entry.whole, "alert", entry.alert));
            }
            if (next != null && !next.equals(cursor)) lines.add(Map.of("cursor", next));
            if (!lines.isEmpty()) append(lines);
            for (String id : drills) System.out.println("drill received: " + Json.write(id));
        }

        /** File what is next in its case. */
        synchronized void fileReady(boolean overGaps) {
            var ordered = new ArrayList<>(waiting.values());
            ordered.sort(Comparator.comparingLong(Entry::number));
            for (Entry entry : ordered) {
                boolean isNext = entry.whole && entry.number <= last.getOrDefault(entry.caseId, 0L) + 1;
                if (!isNext && !overGaps) continue;
                // Here, unless it is a drill, your own work with entry.alert begins. After a crash it is done again, so let it
                // know a delivery id that it has seen. In force is, of each case_id and rule.id, the version with the greatest
                // sequence, unless its status is retracted.
                append(List.of(Map.of("filed", entry.id)));
            }
        }

        synchronized Set<String> waiting() { return new HashSet<>(waiting.keySet()); }

        synchronized List<Map<String, Object>> filed() { return new ArrayList<>(filed); }

        synchronized String cursor() { return cursor; }
    }

    /** Fetch page after page from where the last pull ended. Throws whatever goes wrong. */
    static void pull(Store store, HttpClient client) throws IOException, InterruptedException {
        for (boolean more = !env("PULL_URL", "").isEmpty(); more; ) {
            String cursor = store.cursor();
            String query = "?limit=100" + (cursor.isEmpty() ? "" : "&after=" + URLEncoder.encode(cursor, UTF_8));
            var request = HttpRequest.newBuilder(URI.create(env("PULL_URL", "") + query)).timeout(Duration.ofSeconds(30))
                    .header("Authorization", "Bearer " + env("PULL_TOKEN", "")).build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            byte[] body;
            try (var input = answer.body()) {
                body = input.readNBytes(PAGE_BYTES_MAX + 1);
            }
            if (answer.statusCode() != 200 || body.length > PAGE_BYTES_MAX) throw new IOException("status " + answer.statusCode());
            if (!(Json.parse(new String(body, UTF_8)) instanceof Map<?, ?> page && page.get("alerts") instanceof List<?> alerts
                    && page.get("next") instanceof String next)) throw new IOException("not a page");
            var entries = new ArrayList<Entry>();
            for (Object one : alerts) {
                if (!(one instanceof Map<?, ?> item && item.get("alert") instanceof Map<?, ?> alert)) throw new IOException("not a page");
                var delivery = new LinkedHashMap<Object, Object>(alert);
                item.forEach((name, value) -> { if (!name.equals("alert")) delivery.put(name, value); });
                entries.add(entryOf(item.get("delivery_id"), delivery, true));
            }
            store.take(entries, next);
            store.fileReady(false);
            more = Boolean.TRUE.equals(page.get("more")) && !next.equals(cursor);
        }
    }

    /** File what comes; pull at the start, when something new has to wait, and every PULL_SECONDS. Never returns. */
    static void work(Store store, Semaphore wake) throws InterruptedException {
        var client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NEVER).connectTimeout(Duration.ofSeconds(10)).build();
        long pause = (long) (Double.parseDouble(env("PULL_SECONDS", "60")) * 1e9), pullAt = System.nanoTime();
        Set<String> known = Set.of();
        boolean skip = env("SKIP_GAPS", "").equals("1");
        while (true) {
            wake.drainPermits();
            try {
                store.fileReady(false);
                Set<String> waiting = store.waiting();
                if (System.nanoTime() - pullAt >= 0 || !known.containsAll(waiting)) {
                    known = waiting;
                    pullAt = System.nanoTime() + pause;
                    pull(store, client);
                    store.fileReady(skip);
                    skip = false;
                    int left = store.waiting().size();
                    if (left > 0) System.err.println(left + " wait for an earlier one of their case");
                }
            } catch (IOException | RuntimeException error) {
                System.err.println("to be tried again: " + error);
            }
            wake.tryAcquire(Math.max(pullAt - System.nanoTime(), 100_000_000), TimeUnit.NANOSECONDS);
        }
    }

    /** JSON as Map, List, String, BigDecimal, Boolean and null: the JDK has no reader of its own. */
    static final class Json {
        private static final Pattern NUMBER = Pattern.compile("-?(0|[1-9][0-9]{0,999})(\\.[0-9]{1,999})?([eE][+-]?[0-9]{1,4})?");
        private static final int DEPTH_MAX = 64;
        private final String text;
        private int at;

        private Json(String text) { this.text = text; }

        /** The value that a text says. Throws IllegalArgumentException, which shows nothing of the text. */
        static Object parse(String text) {
            var json = new Json(text);
            Object value = json.value(0);
            json.took("");
            if (json.at < text.length()) throw json.bad();
            return value;
        }

        private IllegalArgumentException bad() { return new IllegalArgumentException("not JSON at " + at); }

        /** Whether the token is next, after blanks; it is then behind us. */
        private boolean took(String token) {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
            boolean found = text.startsWith(token, at);
            if (found) at += token.length();
            return found;
        }

        private void expect(String token) {
            if (!took(token)) throw bad();
        }

        private Object value(int depth) {
            if (depth > DEPTH_MAX) throw bad();
            if (took("{")) {
                var map = new LinkedHashMap<String, Object>();
                if (took("}")) return map;
                do {
                    expect("\"");
                    String name = restOfString();
                    expect(":");
                    map.put(name, value(depth + 1));
                } while (took(","));
                expect("}");
                return map;
            }
            if (took("[")) {
                var list = new ArrayList<Object>();
                if (took("]")) return list;
                do list.add(value(depth + 1)); while (took(","));
                expect("]");
                return list;
            }
            if (took("\"")) return restOfString();
            if (took("true")) return true;
            if (took("false")) return false;
            if (took("null")) return null;
            var number = NUMBER.matcher(text).region(at, text.length());
            if (!number.lookingAt()) throw bad();
            at = number.end();
            return new BigDecimal(number.group());
        }

        private String restOfString() {
            var found = new StringBuilder();
            try {
                for (char one = text.charAt(at++); one != '"'; one = text.charAt(at++)) {
                    if (one < ' ') throw bad();
                    if (one == '\\') {
                        one = text.charAt(at++);
                        int plain = "\"\\/bfnrt".indexOf(one);
                        if (plain < 0 && one != 'u') throw bad();
                        one = plain >= 0 ? "\"\\/\b\f\n\r\t".charAt(plain) : (char) HexFormat.fromHexDigits(text, at, at += 4);
                    }
                    found.append(one);
                }
            } catch (IndexOutOfBoundsException end) {
                throw bad();
            }
            return found.toString();
        }

        static String write(Object value) {
            if (value instanceof Map<?, ?> map) {
                var parts = new StringJoiner(",", "{", "}");
                map.forEach((name, one) -> parts.add(write(name) + ":" + write(one)));
                return parts.toString();
            }
            if (value instanceof List<?> list) {
                var parts = new StringJoiner(",", "[", "]");
                list.forEach(one -> parts.add(write(one)));
                return parts.toString();
            }
            if (!(value instanceof String text)) return String.valueOf(value);
            var quoted = new StringBuilder("\"");
            for (char one : text.toCharArray()) {
                boolean plain = one >= ' ' && one != '"' && one != '\\' && !Character.isSurrogate(one);
                quoted.append(plain ? String.valueOf(one) : "\\u%04x".formatted((int) one));
            }
            return quoted.append('"').toString();
        }
    }
}
