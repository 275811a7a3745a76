//! The tools that a request offers to the model, written as `OpenAI`'s chat completions API has them.

use std::cell::RefCell;

use super::content::Message;
use super::fields::{decoded, is_empty, is_string, json, list, mismatch, string, without_halves};
use super::scope::Scope;
use super::seen::Seen;
use crate::record::json::RawObject;
use crate::record::raw::Json;

/// Where APIs have their tools.
pub(super) const TOOLS: [&str; 10] = [
    "tools",
    "functions",
    "toolConfig.tools",
    "config.tools",
    "extra_body.tools",
    "model_parameters.tools",
    "optional_params.tools",
    "gen_ai.tool.definitions",
    "ai.prompt.tools",
    "tool_definitions",
];

/// The list of tools, unless there are none.
pub(super) fn tools_of(scope: &Scope<'_>, seen: &RefCell<Seen>) -> Result<Option<Message>, String> {
    let Some((name, value)) = scope.at(&TOOLS).filter(|(_, value)| !is_empty(value.json())) else {
        return Ok(None);
    };
    let value = value.json();
    let hash = match seen.borrow_mut().tools(value.get()) {
        Ok(known) => return Ok(Some(known.message)),
        Err(hash) => hash,
    };
    let mut tools = Vec::new();
    add_tools(name, value, &mut tools)?;
    if tools.is_empty() {
        return Ok(None);
    }
    let json = format!("[{}]", tools.join(", "));
    let mut tools =
        Message { role: "tools".into(), json: without_halves(&json).into(), text: None, id: None };
    if let Some(hash) = hash {
        seen.borrow_mut().insert(hash, value.get(), &mut tools, true, 0);
    }
    Ok(Some(tools))
}

fn add_tools(name: &str, value: Json<'_>, tools: &mut Vec<String>) -> Result<(), String> {
    if let Some(text) = decoded(value) {
        return add_tools(name, text.json(), tools);
    }
    if let Some(by_name) = RawObject::in_value(value).filter(|_| value.get().starts_with('{')) {
        // Some SDKs have an object of tools by their names.
        for (tool, value) in by_name.fields() {
            let tool = format!("\"name\": {}, ", json(tool));
            add_tool(&format!("\"{name}\""), value, &tool, tools)?;
        }
        return Ok(());
    }
    let items = list(value).map_err(|_| mismatch(&format!("\"{name}\""), "a list of tools", value))?;
    for (i, item) in items.into_iter().enumerate() {
        let place = format!("item {} of \"{name}\"", i + 1);
        match decoded(item) {
            Some(text) => add_tool(&place, text.json(), "", tools)?,
            None => add_tool(&place, item, "", tools)?,
        }
    }
    Ok(())
}

/// Appends the tool `value`; `named` is its name where that stands elsewhere, as the beginning of an object.
fn add_tool(place: &str, value: Json<'_>, named: &str, tools: &mut Vec<String>) -> Result<(), String> {
    if is_string(value) && named.is_empty() {
        // The mere name of a tool that the server has.
        tools.push(format!(
            "{{\"type\": \"function\", \"function\": {{\"name\": {}}}}}",
            json(&string(value)?)
        ));
        return Ok(());
    }
    let tool = RawObject::in_value(value).filter(|_| value.get().starts_with('{'));
    let tool = tool.ok_or_else(|| mismatch(place, "a tool, an object", value))?;
    if tool.first(&["cachePoint", "cache_point"]).is_some() {
        // It marks what to cache.
        return Ok(());
    }
    if tool.get("function").is_some() {
        tools.push(value.get().to_owned());
        return Ok(());
    }
    if let Some((_, declarations)) = tool.first(&["functionDeclarations", "function_declarations"]) {
        for item in list(declarations).unwrap_or_default() {
            add_tool(place, item, "", tools)?;
        }
        return Ok(());
    }
    let spec = tool.get("toolSpec").and_then(RawObject::in_value).unwrap_or(tool);
    if named.is_empty() && spec.get("name").is_none() {
        // A tool of the server, such as {"googleSearch": {}}.
        tools.push(value.get().to_owned());
        return Ok(());
    }
    let mut function = String::from("{") + named;
    for (name, value) in spec.fields() {
        let (name, value) = match name {
            "type" | "cache_control" => continue,
            "input_schema" | "inputSchema" | "parametersJsonSchema" | "parameters_json_schema" => {
                let inner = RawObject::in_value(value).and_then(|schema| schema.get("json"));
                ("parameters", inner.unwrap_or(value))
            }
            name => (name, value),
        };
        if value.get() != "null" {
            function.push_str(&format!("{}: {}, ", json(name), value.get()));
        }
    }
    let function = function.strip_suffix(", ").unwrap_or(&function);
    // Tools that the server runs keep their type, which says what they are.
    let kind = spec.string("type").filter(|kind| kind != "function" && kind != "custom");
    let kind = kind.map_or_else(String::new, |kind| format!("\"server_tool\": {}, ", json(&kind)));
    tools.push(format!("{{\"type\": \"function\", {kind}\"function\": {function}}}}}"));
    Ok(())
}
