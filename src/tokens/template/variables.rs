//! What a request says to the template beside its messages.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::feed::field;
use super::{json, python};

/// Arguments of the rendering, which no variable replaces.
const ARGUMENTS: [&str; 5] =
    ["messages", "tools", "add_generation_prompt", "continue_final_message", "strftime_now"];

/// The variables of one request.
pub(super) struct Variables {
    pub(super) list: Vec<(Value, Value)>,
    pub(super) add_generation_prompt: bool,
    /// The field of the last message that is to be continued.
    pub(super) continued: Option<String>,
}

impl Variables {
    /// Those of the object `chat_template_kwargs` and of the fields of a request, which are JSON texts by
    /// name. As in vLLM, a field of the request counts more than one of the same name in the object, and a
    /// reasoning effort switches thinking on or off.
    pub(super) fn new(kwargs: Option<&Value>, fields: &[(String, String)]) -> Result<Self, String> {
        let get = |name: &str| -> Result<Option<Value>, String> {
            let text = fields.iter().find(|(other, _)| other == name).map(|(_, text)| text);
            let value = text.map(|text| json::parse(text).map_err(|error| format!("\"{name}\": {error}")));
            Ok(value.transpose()?.filter(|value| !value.is_none()))
        };
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_none());
        if let Some(kwargs) = kwargs.filter(|kwargs| kwargs.kind() != ValueKind::Map) {
            return Err(format!("\"chat_template_kwargs\" must be an object, found {}", kwargs.kind()));
        }
        let mut list: Vec<_> = kwargs.into_iter().flat_map(python::pairs).collect();
        list.retain(|(name, _)| name.as_str().is_none_or(|name| !ARGUMENTS.contains(&name)));
        let own = |name: &str| kwargs.is_some_and(|kwargs| field(kwargs, name).is_some());
        let effort = get("reasoning_effort")?;
        if let Some(effort) = effort.as_ref().filter(|_| !own("enable_thinking")) {
            list.push((Value::from("enable_thinking"), Value::from(effort.as_str() != Some("none"))));
        }
        for (name, value) in [("reasoning_effort", effort), ("documents", get("documents")?)] {
            list.extend(value.map(|value| (Value::from(name), value)));
        }
        let add_generation_prompt = get("add_generation_prompt")?.is_none_or(|value| value.is_true());
        let continued = get("continue_final_message")?.filter(Value::is_true);
        let continued = continued.map(|field| field.as_str().unwrap_or("content").to_owned());
        if continued.is_some() && add_generation_prompt {
            return Err("\"continue_final_message\" needs \"add_generation_prompt\": false".to_owned());
        }
        Ok(Self { list, add_generation_prompt, continued })
    }
}
