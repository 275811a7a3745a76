"""What vLLM 0.33 hands to transformers for a chat request: the oracle's half of the feeding rules.

Written from vLLM's source (vllm/renderers), apart from trace-hash's own code.
"""

import copy
import datetime
import json
import logging

from jinja2 import nodes
from transformers.utils import chat_template_utils as hf

logging.disable(logging.WARNING)


class Clock(datetime.datetime):
    """The time that trace-hash tells templates where a record has none."""

    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12, 0, 0)


hf.datetime = Clock

TEXT_PARTS = {"text", "input_text", "output_text"}
# Keys of content parts that vLLM knows; others are handed on to the template.
PART_KEYS = {
    "type", "text", "refusal", "thinking", "closed", "name", "image_url", "input_audio", "audio_url", "video_url",
    "image_embeds", "audio_embeds", "video_embeds", "image_pil", "data", "uuid", "file",
}
BILLING = "x-anthropic-billing-header"


def variable(node, name):
    if isinstance(node, nodes.Name):
        return node.ctx == "load" and node.name == name
    if isinstance(node, nodes.Getattr) and "." in name:
        base, _, attribute = name.rpartition(".")
        return node.attr == attribute and variable(node.node, base)
    return False


def accesses(node, name, key=None):
    """Whether a node is the variable, or its field `key`, perhaps through filters, tests and slices."""
    while isinstance(node, (nodes.Filter, nodes.Test)) or (
        isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    ):
        if node.node is None:
            return False
        node = node.node
    if key is None:
        return variable(node, name)
    if isinstance(node, nodes.Getitem):
        return variable(node.node, name) and isinstance(node.arg, nodes.Const) and node.arg.value == key
    return isinstance(node, nodes.Getattr) and node.attr == key and variable(node.node, name)


def dotted(node):
    if isinstance(node, nodes.NSRef):
        return f"{node.name}.{node.attr}"
    return None


def aliases_of_messages(tree):
    names = ["messages"]
    for name in names:
        for assign in tree.find_all(nodes.Assign):
            target, value = assign.target, assign.node
            found = []
            if isinstance(target, nodes.Name) and accesses(value, name):
                found.append(target.name)
            if isinstance(target, nodes.NSRef) and accesses(value, name):
                found.append(dotted(target))
            if (
                isinstance(target, nodes.Name)
                and isinstance(value, nodes.Call)
                and isinstance(value.node, nodes.Name)
                and value.node.name == "namespace"
            ):
                found += [f"{target.name}.{k.key}" for k in value.kwargs if accesses(k.value, name)]
            names += [alias for alias in found if alias not in names]
    return names


def wants_parts(template):
    """Whether the template walks over the parts of a message's content."""
    tree = hf._compile_jinja_template(template).environment.parse(template)
    names = aliases_of_messages(tree)
    messages = [
        loop.target.name for loop in tree.find_all(nodes.For) if any(accesses(loop.iter, name) for name in names)
    ]
    in_macros, parameters = set(), {}
    for macro in tree.find_all(nodes.Macro):
        given = set()
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == macro.name:
                for parameter, argument in zip(macro.args, call.args):
                    if any(accesses(argument, name, "content") for name in messages):
                        given.add(parameter.name)
                for keyword in call.kwargs:
                    if any(accesses(keyword.value, name, "content") for name in messages):
                        given.add(keyword.key)
        for loop in macro.find_all(nodes.For):
            in_macros.add(id(loop))
            if given:
                parameters[id(loop)] = given & {parameter.name for parameter in macro.args}
    for loop in tree.find_all(nodes.For):
        if any(accesses(loop.iter, name, "content") for name in messages):
            return True
        if isinstance(loop.iter, nodes.Name):
            if loop.iter.name in parameters.get(id(loop), ()):
                return True
            if id(loop) not in in_macros and loop.iter.name == "content":
                return True
    return False


def content_of(role, content, parts):
    if content is None:
        content = []
    elif isinstance(content, str):
        content = [{"type": "text", "text": content}]
    out = []
    for part in content:
        text = part if isinstance(part, str) else part["text"] if part.get("type") == "text" else None
        if role == "system" and isinstance(text, str) and text.startswith(BILLING):
            text = text.partition("\n")[2]
            if not text:
                continue
            part = text if isinstance(part, str) else {**part, "text": text}
        if isinstance(part, str):
            if parts or part:
                out.append({"type": "text", "text": part} if parts else part)
            continue
        kind = part["type"]
        if kind in TEXT_PARTS:
            text = part.get("text")
        elif kind in ("refusal", "thinking"):
            text = part.get(kind)
        else:
            raise ValueError(f"no text: {kind}")
        if text is None and kind in ("text", "refusal"):
            continue
        if parts:
            extra = {k: v for k, v in part.items() if k not in PART_KEYS}
            out.append({"type": "text", "text": text, **extra})
        elif text:
            out.append(text)
    return out if parts else "\n".join(out)


def message_of(message, parts):
    role = message["role"]
    out = {"role": role, "content": content_of(role, message.get("content"), parts)}
    reasoning = message.get("reasoning")
    if reasoning is None:
        reasoning = message.get("reasoning_content")
    if role == "assistant":
        if message.get("tool_calls") is not None:
            out["tool_calls"] = copy.deepcopy(message["tool_calls"])
        if reasoning is not None:
            out["reasoning"] = out["reasoning_content"] = reasoning
    elif role == "tool":
        if "tool_call_id" in message:
            out["tool_call_id"] = message["tool_call_id"]
        if isinstance(out["content"], list):
            out["content"] = "\n".join(part["text"] for part in out["content"])
    if isinstance(message.get("name"), str):
        out["name"] = message["name"]
    if isinstance(message.get("task"), str):
        out["task"] = message["task"]
    if role == "developer":
        out["tools"] = message.get("tools")
    if out.get("tool_calls") == []:
        del out["tool_calls"]
    for call in out.get("tool_calls", ()):
        function = call["function"]
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            try:
                arguments = json.loads(arguments)
            except json.JSONDecodeError:
                arguments = {}
        function["arguments"] = arguments if isinstance(arguments, dict) else {}
    return out


def merged_systems(conversation):
    out = []
    for message in conversation:
        if message["role"] == "developer":
            message = {k: v for k, v in message.items() if k != "tools"} | {"role": "system"}
        out.append(message)
    systems = [m for m in out if m["role"] == "system"]
    if not systems or (len(systems) == 1 and out[0] is systems[0]):
        return out
    texts = []
    for message in systems:
        content = message.get("content", "")
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content)
        if content:
            texts.append(content)
    return [{"role": "system", "content": "\n\n".join(texts)}] + [m for m in out if m["role"] != "system"]


def feed(request, template, parts):
    """The arguments of transformers' `render_jinja_template`."""
    conversation = [message_of(message, parts) for message in request["messages"]]
    if any(m["role"] == "developer" for m in conversation):
        if '"developer"' not in template and "'developer'" not in template:
            conversation = merged_systems(conversation)
    user = request.get("chat_template_kwargs") or {}
    effort = request.get("reasoning_effort")
    own = {
        "add_generation_prompt": request.get("add_generation_prompt", True),
        "continue_final_message": request.get("continue_final_message", False),
        "documents": request.get("documents"),
        "reasoning_effort": effort,
    }
    if effort is not None and "enable_thinking" not in user:
        own["enable_thinking"] = effort != "none"
    variables = dict(user) | {key: value for key, value in own.items() if value is not None}
    if variables["continue_final_message"] and variables["add_generation_prompt"]:
        raise ValueError("continue_final_message and add_generation_prompt are not compatible")
    tools = request.get("tools")
    if isinstance(tools, str):
        tools = json.loads(tools)
    return hf._normalize_chat_messages(conversation), tools or None, variables


def render(request, template, parts, special):
    conversation, tools, variables = feed(request, template, parts)
    rendered, _ = hf.render_jinja_template(
        [conversation], tools=tools, chat_template=template, **{**special, **variables}
    )
    return rendered[0]
