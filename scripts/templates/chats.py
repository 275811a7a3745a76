"""Random chat requests as agents log them: the same for the same seed."""

import json

WORDS = (
    "the user asks for weather in Oslo today <b> & \"quoted\" it's naïve 北京 안녕 \U0001f600 x=1 /path {curly} "
    "{{ braces }} {% tag %} # % \\n \\ \t tab 10% <think> </think> <tool_call> [INST] </s> <|im_end|> null None"
).split(" ")
NUMBERS = [
    0, 1, -1, 2.5, 1e-5, 1e-7, 1e16, 1e15, 123456789.125, -0.0, 1e22, 0.1, 3.0, 1e100, 2**53 + 1, 2**63, -(2**63), 2**64,
    2**100, 10**40, 5e-324, 100000.0, 1.5e300,
]
NAMES = ["get_weather", "search", "run", "items", "f"]
KEYS = ["city", "items", "keys", "values", "get", "name", "type", "n", "deep", "é", "update", "count", "index"]


class Chats:
    def __init__(self, random):
        self.random = random

    def chance(self, probability):
        return self.random.random() < probability

    def text(self, most=12):
        words = self.random.choices(WORDS, k=self.random.randint(0, most))
        text = self.random.choice([" ", " ", "\n", "  "]).join(words)
        if self.chance(0.15):
            text = self.random.choice([" ", "\n", "\n\n", "\t"]) + text
        if self.chance(0.15):
            text += self.random.choice([" ", "\n", "\n\n"])
        return text

    def said(self):
        return self.text().strip() or "hi"

    def value(self, depth=2):
        kind = self.random.randint(0, 8 if depth else 5)
        if kind < 2:
            return self.text(4)
        if kind < 4:
            return self.random.choice(NUMBERS)
        if kind == 4:
            return self.random.choice([True, False])
        if kind == 5:
            return None
        if kind == 6:
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        return {key: self.value(depth - 1) for key in self.random.sample(KEYS, self.random.randint(0, 3))}

    def schema(self, depth=2):
        kind = self.random.choice(["string", "number", "integer", "boolean", "array", "object"] if depth else ["string"])
        schema = {"type": kind}
        if self.chance(0.7):
            schema["description"] = self.text(6)
        if self.chance(0.2):
            schema["default"] = self.random.choice([1e-5, "x", 3, True, None, 0.5])
        if kind == "string" and self.chance(0.3):
            schema["enum"] = ["a", "b c", "d\"e"]
        if kind == "number" and self.chance(0.3):
            schema["minimum"] = self.random.choice(NUMBERS)
        if self.chance(0.1):
            schema["type"] = [kind, "null"]
        if self.chance(0.1):
            schema["nullable"] = True
        if kind == "array":
            schema["items"] = self.schema(depth - 1)
        if kind == "object":
            schema = {**schema, **self.object(depth - 1)}
        if self.chance(0.05):
            schema = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        return schema

    def object(self, depth):
        names = self.random.sample(KEYS, self.random.randint(0, 3))
        schema = {"type": "object", "properties": {name: self.schema(depth) for name in names}}
        if self.chance(0.7):
            schema["required"] = self.random.sample(names, self.random.randint(0, len(names)))
        if self.chance(0.2):
            schema["additionalProperties"] = False
        return schema

    def tool(self):
        function = {"name": self.random.choice(NAMES)}
        if self.chance(0.9):
            function["description"] = self.said()
        if self.chance(0.95):
            function["parameters"] = self.object(2)
        if self.chance(0.2):
            function["strict"] = True
        if self.chance(0.15):
            function["return"] = {"type": "string", "description": "what it gives"}
        return {"type": "function", "function": function}

    def arguments(self):
        value = {key: self.value() for key in self.random.sample(KEYS, self.random.randint(0, 3))}
        kind = self.random.random()
        if kind < 0.55:
            return json.dumps(value, ensure_ascii=self.chance(0.5))
        if kind < 0.85:
            return value
        return self.random.choice(["", "{}", "[1]", "42", "{broken", "null", None])

    def calls(self):
        calls = []
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            call = {"type": "function", "function": {"name": self.random.choice(NAMES), "arguments": self.arguments()}}
            if self.chance(0.9):
                call = {"id": self.random.choice(["call_1", "abcdefghi", "x" * 9]), **call}
            if self.chance(0.1):
                call["index"] = 0
            calls.append(call)
        return calls

    def content(self, role):
        if self.chance(0.7):
            return self.text()
        parts = [{"type": "text", "text": self.text(6)} for _ in range(self.random.randint(0, 3))]
        if self.chance(0.2):
            # Further fields of parts come from Anthropic's clients, other types from OpenAI's.
            for part in parts:
                part["cache_control"] = {"type": "ephemeral"}
            return parts
        for part in parts:
            if self.chance(0.1):
                part["type"] = self.random.choice(["input_text", "output_text"])
        if role == "assistant" and self.chance(0.1):
            parts.append({"type": "refusal", "refusal": "no"})
        return parts

    def message(self, role):
        message = {"role": role, "content": self.content(role)}
        if self.chance(0.1):
            message["name"] = self.random.choice(["bob", "Alice", None])
        if role == "assistant":
            if self.chance(0.3):
                name = self.random.choice(["reasoning", "reasoning_content"])
                message[name] = self.random.choice([self.text(), self.said(), None])
            for name in ("refusal", "audio", "function_call"):
                if self.chance(0.2):
                    message[name] = None
            if self.chance(0.15):
                message["tool_calls"] = self.random.choice([[], None])
        return message

    def chat(self):
        """One request. Most follow the order that strict templates ask for; some do not."""
        messages = []
        if self.chance(0.5):
            messages.append(self.message("system"))
            if self.chance(0.1):
                messages[0]["content"] = "x-anthropic-billing-header: cc_version=1; cch=abc;\nBe brief."
        elif self.chance(0.2):
            messages.append(self.message("developer"))
        tools = self.chance(0.6)
        for turn in range(self.random.randint(1, 3)):
            messages.append(self.message("user"))
            if turn == 0:
                # A chat in which nobody says anything is a bad record.
                messages[-1]["content"] = self.said()
            while tools and self.chance(0.5):
                message = self.message("assistant")
                message["content"] = self.random.choice([None, None, "", message["content"]])
                message["tool_calls"] = calls = self.calls()
                if self.chance(0.15):
                    del message["content"]
                messages.append(message)
                for call in calls:
                    result = {"role": "tool", "content": self.content("tool")}
                    if self.chance(0.3):
                        result["content"] = json.dumps(self.value())
                    if self.chance(0.9):
                        result["tool_call_id"] = call.get("id", "call_0")
                    if self.chance(0.3):
                        result["name"] = call["function"]["name"]
                    messages.append(result)
            messages.append(self.message("assistant"))
        if self.chance(0.75):
            messages.append(self.message("user"))
        if self.chance(0.1):
            messages.insert(self.random.randint(0, len(messages)), self.message("system"))
        if self.chance(0.04):
            messages.insert(self.random.randint(0, len(messages)), self.message("developer"))
        request = {"messages": messages}
        if tools:
            request["tools"] = [self.tool() for _ in range(self.random.randint(1, 3))]
            if self.chance(0.1):
                request["tools"] = json.dumps(request["tools"])
        elif self.chance(0.2):
            request["tools"] = self.random.choice([[], None])
        self.variables(request)
        return request

    def variables(self, request):
        last = request["messages"][-1]
        if last["role"] == "assistant":
            # Else it is the answer to the request, not a part of its prompt.
            if isinstance(last.get("content"), str) and last["content"].strip():
                request["add_generation_prompt"] = False
                request["continue_final_message"] = True
            else:
                request["messages"].pop()
        elif self.chance(0.05):
            request["add_generation_prompt"] = False
        if self.chance(0.3):
            request["chat_template_kwargs"] = self.random.choice([
                {"enable_thinking": False}, {"enable_thinking": True}, {"thinking": True}, {"keep_past_thinking": True},
                {"custom": [1, 1e-5, None, "x"]}, {"preserve_thinking": True}, {"tools_in_user_message": False},
                {"date_string": "26 Jul 2024"}, {"model_identity": "You are X."}, {},
            ])
        if self.chance(0.1):
            request["reasoning_effort"] = self.random.choice(["low", "high", "none", "medium"])
        if self.chance(0.05):
            request["documents"] = [{"title": self.text(3), "text": self.text()}]
