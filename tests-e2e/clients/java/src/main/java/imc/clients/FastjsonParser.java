package imc.clients;

import com.alibaba.fastjson.JSON;

/** fastjson 1, with its defaults. */
final class FastjsonParser implements Parser {
    @Override
    public Object parse(String text) {
        return JSON.parse(text);
    }
}
