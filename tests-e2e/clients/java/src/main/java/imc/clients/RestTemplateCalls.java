package imc.clients;

import com.fasterxml.jackson.databind.JavaType;
import java.nio.charset.StandardCharsets;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.HttpMethod;
import org.springframework.http.MediaType;
import org.springframework.http.RequestEntity;
import org.springframework.http.converter.json.MappingJackson2HttpMessageConverter;
import org.springframework.web.client.RestTemplate;

/** Spring's RestTemplate, which throws at every status but 2xx. */
final class RestTemplateCalls implements Calls {
    private final RestTemplate template = new RestTemplate();

    RestTemplateCalls() {
        template.getMessageConverters().removeIf(MappingJackson2HttpMessageConverter.class::isInstance);
        template.getMessageConverters().add(new MappingJackson2HttpMessageConverter(Strict.MAPPER));
    }

    @Override
    public ResultDTO<?> call(Call call) {
        RequestEntity.BodyBuilder request =
                RequestEntity.method(HttpMethod.valueOf(call.method()), call.address());
        request.accept(MediaType.APPLICATION_JSON);
        if (call.contentType() != null) {
            request.contentType(MediaType.parseMediaType(call.contentType()));
        }
        byte[] body = call.body() == null ? null : call.body().getBytes(StandardCharsets.UTF_8);
        JavaType type = Strict.resultOf(call.data());
        ParameterizedTypeReference<ResultDTO<?>> reference = ParameterizedTypeReference.forType(type);
        return template.exchange(body == null ? request.build() : request.body(body), reference).getBody();
    }
}
