//! Which session a record belongs to.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde_json::Value;

use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::trace_record::first_bits;

/// Names of the field that tells the session.
const NAMES: [&str; 3] = ["session_id", "conversation_id", "session"];

/// A session, as a hash of its name.
pub(crate) type Session = u64;

/// Finds the session of one record after the other.
///
/// Where records name only the chat before them (Bailian), a session is known by its first chat. That
/// takes some 40 bytes per record; other records take none.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// The field that names the session, where that is none of the usual ones.
    field: Option<String>,
    first_chats: HashMap<Session, Session, RandomState>,
    max_chats: usize,
}

/// Memory of one chat in a table that may be twice as large, and is there twice while it grows.
const CHAT_BYTES: usize = 3 * 17;

impl Sessions {
    /// Nothing has been read yet. Chats may take `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { field: None, first_chats: HashMap::default(), max_chats: max_bytes / CHAT_BYTES }
    }

    /// Sessions that this field alone names.
    pub(crate) fn of_field(field: String) -> Self {
        Self { field: Some(field), ..Self::new(0) }
    }

    /// The session of a line, if it names one. Lines come in order.
    ///
    /// # Errors
    /// When there are more chats than fit into memory.
    pub(crate) fn key(&mut self, line: &[u8]) -> Result<Option<Session>, Invalid> {
        let object = RawObject::parse(line)?;
        if let Some(field) = &self.field {
            return Ok(object.text(field).map(|name| hash(&name)));
        }
        if let Some(name) = NAMES.iter().find_map(|name| object.text(name)) {
            return Ok(Some(hash(&name)));
        }
        let Some(chat) = object.text("chat_id").map(|chat| hash(&chat)) else { return Ok(None) };
        let parent = object.text("parent_chat_id").filter(|parent| parent != "-1");
        let parent = parent.map(|parent| hash(&parent));
        let first = parent.map_or(chat, |parent| self.first_chats.get(&parent).copied().unwrap_or(parent));
        self.first_chats.insert(chat, first);
        if self.first_chats.len() > self.max_chats {
            return Err(Invalid::over_limit("the chats take more memory than `max_memory` allows"));
        }
        Ok(Some(first))
    }
}

/// Names of the field by which a router may keep requests in one place.
const AFFINITY: [&str; 3] = ["session_id", "conversation_id", "chat_id"];

/// What a router may keep in one place: the value of the first of those fields that a line has, or of `field` where
/// that is given, whatever its type, as a hash. 1 and "1" differ; which field it is does not count.
pub(crate) fn affinity(line: &[u8], field: Option<&str>) -> Option<u64> {
    let names = field.as_ref().map_or(&AFFINITY[..], std::slice::from_ref);
    // All of the usual names end so. A name may be written with escapes; most lines have neither any nor the name.
    let end = field.unwrap_or("_id\"");
    if memchr::memmem::find(line, end.as_bytes()).is_none() && memchr::memchr(b'\\', line).is_none() {
        return None;
    }
    let object = RawObject::parse(line).ok()?;
    let value = names.iter().find_map(|name| object.get(name))?.get();
    // Equal values may be written differently.
    let equal =
        serde_json::from_str::<Value>(value).map_or_else(|_| value.to_owned(), |value| value.to_string());
    Some(hash(&equal))
}

fn hash(name: &str) -> Session {
    first_bits(blake3::hash(name.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_chats_is_one_session() {
        let mut sessions = Sessions::new(1 << 20);
        let mut key = |chat: i32, parent: i32| {
            let line = format!("{{\"input_length\": 1, \"chat_id\": {chat}, \"parent_chat_id\": {parent}}}");
            sessions.key(line.as_bytes()).unwrap().unwrap()
        };
        let first = key(1, -1);
        assert_ne!(key(5, -1), first);
        assert_eq!(key(2, 1), first);
        assert_eq!(key(9, 2), first);
        assert_eq!(sessions.key(br#"{"input_length": 1}"#), Ok(None));
        let named = |line: &[u8]| Sessions::new(0).key(line);
        assert_eq!(named(br#"{"session_id": 7}"#), named(br#"{"x": 1, "session_id": "7"}"#));
        let by_user = |line: &[u8]| Sessions::of_field("user".into()).key(line);
        assert_eq!(by_user(br#"{"user": "7", "session_id": 1}"#), named(br#"{"session_id": 7}"#));
        assert_eq!(by_user(br#"{"session_id": 7}"#), Ok(None));
    }
    #[test]
    fn a_router_keeps_equal_values_of_the_first_field_together() {
        let classes: [&[&str]; 5] = [
            &[
                r#"{"session_id": 1}"#,
                r#"{"chat_id": 1}"#,
                r#"{"session_id": null, "conversation_id": 1, "chat_id": 2}"#,
            ],
            &[r#"{"session_id": "1"}"#, r#"{"chat_id":"\u0031"}"#],
            &[r#"{"session_id": 1.0}"#],
            &[r#"{"session_id": {"a": [1]}}"#, r#"{"session_id": {"a":[1]}, "chat_id": 1}"#],
            &[r#"{"session_id": null}"#, r#"{"session": 1}"#],
        ];
        let keys =
            classes.map(|lines| lines.iter().map(|line| affinity(line.as_bytes(), None)).collect::<Vec<_>>());
        for (at, class) in keys.iter().enumerate() {
            assert!(class.iter().all(|key| *key == class[0] && key.is_none() == (at == 4)), "{at}");
            assert!(keys[..at].iter().all(|other| other[0] != class[0]), "{at}");
        }
    }
}
