//! Where chat templates are kept: a Jinja file, a configuration, or the folder of a model.
//!
//! A model's folder has `chat_template.jinja` (and more templates by name in `additional_chat_templates/`),
//! or `chat_template.json`, or the field `chat_template` of `tokenizer_config.json`: one template, or a list
//! of templates with names. The configuration also names the special tokens that templates use.

use std::io;
use std::path::{Path, PathBuf};

use minijinja::Value;
use minijinja::value::ValueKind;

use super::feed::field;
use super::{json, python};
use crate::error::{Error, Result};
use crate::io::read_whole;

/// The name of the template that is used by default, and of the one for requests with tools.
pub(super) const MAIN: &str = "default";
pub(super) const WITH_TOOLS: &str = "tool_use";

const JINJA: &str = "chat_template.jinja";
const MORE: &str = "additional_chat_templates";
const PROCESSOR: &str = "chat_template.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Templates by name, and where they were found.
pub(super) struct Found {
    pub(super) place: String,
    pub(super) templates: Vec<(String, String)>,
}

/// The templates in `path`, which the user has named.
pub(super) fn named(path: &Path) -> Result<Found> {
    if path.is_dir() {
        let missing = || Error::Failed(format!("{}: no chat template in this folder", path.display()));
        return in_folder(path)?.ok_or_else(missing);
    }
    let place = path.display().to_string();
    let text = read(path)?;
    let config = text.trim_start().starts_with('{').then(|| json::parse(&text).ok()).flatten();
    let Some(config) = config.filter(|config| config.kind() == ValueKind::Map) else {
        return Ok(Found { place, templates: vec![(MAIN.to_owned(), text)] });
    };
    let templates = templates(&config);
    if templates.is_empty() {
        return Err(Error::Failed(format!("{place}: no field \"chat_template\"")));
    }
    Ok(Found { place, templates })
}

/// The templates of a model's folder, if it has any.
pub(super) fn in_folder(folder: &Path) -> Result<Option<Found>> {
    let jinja = folder.join(JINJA);
    let mut found = None;
    if jinja.is_file() {
        found = Some(Found {
            place: jinja.display().to_string(),
            templates: vec![(MAIN.to_owned(), read(&jinja)?)],
        });
    } else {
        for name in [PROCESSOR, CONFIG] {
            let path = folder.join(name);
            if path.is_file() {
                let templates = templates(&config(&path)?);
                if !templates.is_empty() {
                    found = Some(Found { place: path.display().to_string(), templates });
                    break;
                }
            }
        }
    }
    let more = more_templates(&folder.join(MORE))?;
    if found.is_none() && !more.is_empty() {
        found = Some(Found { place: folder.join(MORE).display().to_string(), templates: Vec::new() });
    }
    if let Some(found) = &mut found {
        for (name, template) in more {
            found.templates.retain(|(other, _)| *other != name);
            found.templates.push((name, template));
        }
    }
    Ok(found)
}

/// The templates of a folder by their files' names.
fn more_templates(folder: &Path) -> Result<Vec<(String, String)>> {
    let place = || folder.display().to_string();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(place(), e))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(place(), e))?.path();
        if path.extension().is_some_and(|extension| extension == "jinja") {
            paths.push(path);
        }
    }
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| Ok((name(path), read(path)?))).collect()
}

/// The special tokens of the configuration in a folder, by name.
pub(super) fn special_tokens(folder: &Path) -> Result<Vec<(String, Value)>> {
    let mut tokens: Vec<(String, Value)> = Vec::new();
    for file in [CONFIG, SPECIAL_TOKENS_MAP] {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let config = config(&path)?;
        let mut add = |name: &str, token: Value| {
            let text = if token.kind() == ValueKind::Map { field(&token, "content") } else { Some(token) };
            if let Some(text) = text.filter(|text| text.as_str().is_some())
                && tokens.iter().all(|(known, _)| known != name)
            {
                tokens.push((name.to_owned(), text));
            }
        };
        for name in SPECIAL_TOKENS {
            if let Some(token) = field(&config, name) {
                add(name, token);
            }
        }
        // Models name further ones, such as the token of an image.
        for group in ["extra_special_tokens", "model_specific_special_tokens"] {
            let group = field(&config, group).filter(|group| group.kind() == ValueKind::Map);
            for (name, token) in group.iter().flat_map(python::pairs) {
                add(&python::json_text(&name), token);
            }
        }
    }
    Ok(tokens)
}

fn read(path: &Path) -> Result<String> {
    let text = read_whole(path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    text.map_err(|e| Error::io(path.display().to_string(), e))
}

fn config(path: &Path) -> Result<Value> {
    let reason = |reason: String| Error::Failed(format!("{}: {reason}", path.display()));
    let config = json::parse(&read(path)?).map_err(reason)?;
    if config.kind() != ValueKind::Map {
        return Err(reason("a JSON object is expected".to_owned()));
    }
    Ok(config)
}

/// The templates of a configuration by name: one, a list of them, or an object.
fn templates(config: &Value) -> Vec<(String, String)> {
    let Some(given) = field(config, "chat_template") else { return Vec::new() };
    if let Some(text) = given.as_str() {
        return vec![(MAIN.to_owned(), text.to_owned())];
    }
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    match given.kind() {
        ValueKind::Map => python::pairs(&given)
            .filter_map(|(name, value)| Some((text(Some(name))?, text(Some(value))?)))
            .collect(),
        ValueKind::Seq => {
            let entries = given.try_iter().into_iter().flatten();
            entries.filter_map(|e| Some((text(field(&e, "name"))?, text(field(&e, "template"))?))).collect()
        }
        _ => Vec::new(),
    }
}
