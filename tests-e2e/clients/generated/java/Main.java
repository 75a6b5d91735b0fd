import imc.api.CommandsApi;
import imc.api.QueriesApi;
import imc.api.QueriesApi.APIQueryMessagesRequest;
import imc.invoker.ApiClient;
import imc.model.Message;
import imc.model.RecallMessage;
import imc.model.SendMessage;
import imc.model.SendReceipt;
import java.util.List;
import java.util.Map;

/** Sends, recalls and queries with a client that openapi-generator generated. Usage: Main ADDRESS APP */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        String app = arguments[1];
        CommandsApi commands = new CommandsApi(client);
        SendMessage message = new SendMessage()
                .appId(app).groupId("lobby").userId("ann").content("hello").type(3);
        SendReceipt sent = commands.sendMessage(message).getData();
        RecallMessage recall =
                new RecallMessage().appId(app).messageId(sent.getMessageId()).recallCause("typo");
        Message recalled = commands.recallMessage(recall).getData();
        APIQueryMessagesRequest query =
                APIQueryMessagesRequest.newBuilder().appId(app).groupId("lobby").limit(10).build();
        List<Message> found = new QueriesApi(client).queryMessages(query).getData().getMessages();
        Map<String, Object> said = Map.of("sent", sent, "recalled", recalled, "found", found);
        System.out.println(client.getObjectMapper().writeValueAsString(said));
    }
}
