//! Where in a prompt of token ids there is something that is no text.
//!
//! Source: vLLM 0.33. Its engine has `mm_features`, a list of `MultiModalFeatureSpec` with `identifier`, `mm_hash` and
//! `mm_position`, a `PlaceholderRange` of `offset` and `length` (`multimodal/inputs.py`). What its render server
//! writes and `/inference/v1/generate` reads has `features` of `mm_hashes` and `mm_placeholders`, both by modality
//! (`entrypoints/scale_out/token_in_token_out/protocol.py`).

use super::content::{Content, Feature};
use super::fields::{is_empty, list, mismatch, object_at, string_at, whole};
use super::scope::Scope;
use crate::record::json::RawObject;
use crate::record::raw::Json;

const FEATURES: &str = "mm_features";
const HASHES: [&str; 2] = ["mm_hashes", "features.mm_hashes"];
const PLACES: [&str; 2] = ["mm_placeholders", "features.mm_placeholders"];

/// Where requests have images whose place in the prompt is not said: vLLM, `SGLang`, Ollama, `LLaVA`'s data.
const IMAGES: [&str; 4] = ["multi_modal_data", "image_data", "images", "image"];

/// Whether the record has images that are nowhere in its prompt.
pub(super) fn has_unplaced(scope: &Scope<'_>, prompt: &Content) -> bool {
    let filled = |value: Json<'_>| !is_empty(value);
    let has_features = || {
        scope.first(&[FEATURES]).is_some_and(|(_, value)| filled(value))
            || scope.at(&HASHES).is_some_and(|(_, value)| filled(value.json()))
    };
    scope.first(&IMAGES).is_some_and(|(_, value)| filled(value))
        || matches!(prompt, Content::Texts(_)) && has_features()
}

/// The features of a prompt of token ids, in the order of their offsets.
pub(super) fn features(scope: &Scope<'_>, prompts: &[Vec<u32>]) -> Result<Vec<Feature>, String> {
    let mut found = match scope.first(&[FEATURES]) {
        Some((name, value)) => listed(name, value)?,
        None => by_modality(scope)?,
    };
    found.sort_by_key(|feature| feature.offset);
    match prompts {
        _ if found.is_empty() => {}
        [tokens] => fit(&found, tokens.len())?,
        _ => return Err(format!("images belong to one prompt, and there are {}", prompts.len())),
    }
    Ok(found)
}

/// Whether features, in the order of their offsets, lie in a prompt one behind the other.
fn fit(features: &[Feature], tokens: usize) -> Result<(), String> {
    let name = |feature: &Feature| {
        format!("the {} tokens from {} on of image {:?}", feature.length, feature.offset, feature.identifier)
    };
    if let Some(beyond) = features.iter().find(|feature| feature.end() > tokens) {
        return Err(format!("{} end behind the {tokens} tokens of the prompt", name(beyond)));
    }
    match features.windows(2).find(|pair| pair[0].end() > pair[1].offset) {
        Some(pair) => Err(format!("{} overlap {}", name(&pair[0]), name(&pair[1]))),
        None => Ok(()),
    }
}

/// The features of vLLM's engine.
fn listed(name: &str, value: Json<'_>) -> Result<Vec<Feature>, String> {
    let items = list(value).map_err(|_| mismatch(&format!("\"{name}\""), "a list", value))?;
    let read = |(i, item): (usize, Json<'_>)| {
        let place = format!("item {} of \"{name}\"", i + 1);
        let object = object_at(&place, item)?;
        let (field, identifier) =
            object.first(&["identifier", "mm_hash"]).ok_or_else(|| format!("{place} has no identifier"))?;
        let identifier = string_at(&format!("\"{field}\" of {place}"), identifier)?;
        let position = object.get("mm_position").map(|value| object_at(&place, value)).transpose()?;
        feature(identifier, position.as_ref().unwrap_or(&object), &place)
    };
    items.into_iter().enumerate().map(read).collect()
}

/// The features of its render server.
fn by_modality(scope: &Scope<'_>) -> Result<Vec<Feature>, String> {
    let (hashes, places) = match (scope.at(&HASHES), scope.at(&PLACES)) {
        (Some((_, hashes)), Some((_, places))) => (hashes, places),
        (None, None) => return Ok(Vec::new()),
        _ => return Err("\"mm_hashes\" and \"mm_placeholders\" need each other".to_owned()),
    };
    let (hashes, places) =
        (object_at("\"mm_hashes\"", hashes.json())?, object_at("\"mm_placeholders\"", places.json())?);
    let mut found = Vec::new();
    for (modality, values) in hashes.fields() {
        let place = format!("\"{modality}\" of \"mm_placeholders\"");
        let (hashes, places) =
            (list(values)?, places.get(modality).map(list).transpose()?.unwrap_or_default());
        if hashes.len() != places.len() {
            return Err(format!("{place} has {} items, and of \"mm_hashes\" {}", places.len(), hashes.len()));
        }
        for (i, (hash, position)) in hashes.into_iter().zip(places).enumerate() {
            let identifier = string_at(&format!("item {} of \"{modality}\" of \"mm_hashes\"", i + 1), hash)?;
            let place = format!("item {} of {place}", i + 1);
            found.push(feature(identifier, &object_at(&place, position)?, &place)?);
        }
    }
    match places.fields().find(|(modality, _)| !hashes.has(modality)) {
        Some((modality, _)) => {
            Err(format!("\"mm_hashes\" has no \"{modality}\", as \"mm_placeholders\" has"))
        }
        None => Ok(found),
    }
}

/// A feature at a position.
fn feature(identifier: String, position: &RawObject<'_>, place: &str) -> Result<Feature, String> {
    let number = |name: &str, least: u64| {
        let value = position.get(name).ok_or_else(|| format!("{place} has no {name}"))?;
        let expected = if least == 0 { "a whole number" } else { "a whole number above 0" };
        let number = whole(value).filter(|&number| number >= least).and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| mismatch(&format!("the {name} of {place}"), expected, value))
    };
    Ok(Feature { identifier, offset: number("offset", 0)?, length: number("length", 1)? })
}
