//! The methods of Python's `str`, `list`, `tuple` and `dict` that templates may call. What is not here is
//! left to the engine's companion crate.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::iterators;
use super::letters::{self, is_space};
use super::python::{self, fail};

/// The methods that texts, objects and lists have in Python, and those that the sandbox hides.
const OF_TEXTS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const OF_OBJECTS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const OF_LISTS: [&str; 3] = ["copy", "count", "index"];
const OF_TUPLES: [&str; 2] = ["count", "index"];
const HIDDEN: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

/// Whether values of some type have a method of this name.
pub(super) fn is_method(name: &str) -> bool {
    OF_TEXTS.contains(&name) || OF_OBJECTS.contains(&name) || HIDDEN.contains(&name)
}

/// `value.name` for the name of a method: the method, whatever fields the object has.
pub(super) fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    let methods: &[&str] = match value.kind() {
        ValueKind::String => &OF_TEXTS,
        ValueKind::Map if python::object_of_engine(value).is_none() && !value.is_kwargs() => {
            if HIDDEN.contains(&name) {
                return Ok(Value::UNDEFINED);
            }
            &OF_OBJECTS
        }
        ValueKind::Seq if value.is_tuple() => &OF_TUPLES,
        ValueKind::Seq => &OF_LISTS,
        _ => &[],
    };
    if methods.contains(&name) { Ok(Value::from_object(Method)) } else { value.get_attr(name) }
}

/// A method that is not called.
#[derive(Debug)]
struct Method;

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Calls a method.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            state.consume_fuel(text.len() as u64 / 64)?;
            string(state, text, method, &Arguments::new(args)?)?
        }
        ValueKind::Seq => sequence(value, method, &Arguments::new(args)?)?,
        ValueKind::Map => map(value, method, &Arguments::new(args)?)?,
        _ => None,
    };
    match found {
        Some(value) => Ok(value),
        None if method == "format" => {
            // What is walked over has a text of its own in Python.
            let text = |value: &Value| match value.kind() {
                ValueKind::Iterable => python::text(value).map(Value::from),
                _ => Ok(value.clone()),
            };
            let args = args.iter().map(text).collect::<Result<Vec<_>, Error>>()?;
            check_widths(value.as_str().unwrap_or_default())?;
            let text = unknown_method_callback(state, value, method, &args)?;
            state.consume_fuel(text.len().unwrap_or_default() as u64 / 64)?;
            Ok(text)
        }
        None => unknown_method_callback(state, value, method, args),
    }
}

/// The arguments of a call.
struct Arguments<'a> {
    positional: &'a [Value],
    named: Option<Kwargs>,
}

impl<'a> Arguments<'a> {
    fn new(args: &'a [Value]) -> Result<Self, Error> {
        match args.split_last() {
            Some((last, positional)) if last.is_kwargs() => {
                Ok(Self { positional, named: Some(Kwargs::try_from(last.clone())?) })
            }
            _ => Ok(Self { positional: args, named: None }),
        }
    }

    /// The argument at a place, or of a name; nothing for `None`.
    fn get(&self, place: usize, name: &str) -> Option<Value> {
        let named = || self.named.as_ref()?.get::<Option<Value>>(name).ok()?;
        self.positional.get(place).cloned().or_else(named).filter(|value| !value.is_none())
    }

    fn text(&self, place: usize, name: &str) -> Result<Option<String>, Error> {
        let text = |value: Value| match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(fail(format!("a string is expected, found {}", value.kind()))),
        };
        self.get(place, name).map(text).transpose()
    }

    fn required(&self, place: usize) -> Result<String, Error> {
        self.text(place, "")?.ok_or_else(|| Error::from(ErrorKind::MissingArgument))
    }

    fn integer(&self, place: usize, name: &str) -> Result<Option<i64>, Error> {
        self.get(place, name).map(i64::try_from).transpose()
    }

    fn none(&self) -> Result<(), Error> {
        if self.positional.is_empty() { Ok(()) } else { Err(Error::from(ErrorKind::TooManyArguments)) }
    }
}

/// Where a slice with these ends begins and ends, in a sequence of `length`.
fn bounds(length: usize, start: Option<i64>, end: Option<i64>) -> (usize, usize) {
    let place = |at: i64| if at < 0 { (length as i64 + at).max(0) } else { at.min(length as i64) } as usize;
    (start.map_or(0, place), end.map_or(length, place))
}

/// The part of a text between two of its characters, and the bytes before it.
fn slice(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(&str, usize)> {
    if start.is_none() && end.is_none() {
        return Some((text, 0));
    }
    let length = text.chars().count();
    // Past the end not even the empty text is found.
    if start.is_some_and(|start| start > length as i64) {
        return None;
    }
    let (start, end) = bounds(length, start, end);
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    (start <= end).then(|| (&text[byte(start)..byte(end)], byte(start)))
}

fn string(state: &State, text: &str, method: &str, args: &Arguments<'_>) -> Result<Option<Value>, Error> {
    let value = match method {
        "strip" | "lstrip" | "rstrip" => {
            let chars = args.text(0, "chars")?;
            let cut = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(c));
            let start = if method == "rstrip" { text } else { text.trim_start_matches(cut) };
            Value::from(if method == "lstrip" { start } else { start.trim_end_matches(cut) })
        }
        "split" | "rsplit" => split(text, method == "rsplit", args)?,
        "splitlines" => Value::from(lines(text, args.get(0, "keepends").is_some_and(|keep| keep.is_true()))),
        "partition" | "rpartition" => {
            let separator = not_empty(args.required(0)?)?;
            let parts = if method == "partition" {
                text.split_once(&separator)
            } else {
                text.rsplit_once(&separator)
            };
            let list = match parts {
                Some((before, after)) => [before, &separator, after],
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Value::from(Tuple::new(list.map(Value::from).to_vec()))
        }
        "removeprefix" => Value::from(text.strip_prefix(&args.required(0)?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(&args.required(0)?).unwrap_or(text)),
        "startswith" | "endswith" => affix(text, method == "endswith", args)?,
        "find" | "rfind" | "index" | "rindex" => {
            let sought = args.required(0)?;
            let found = slice(text, args.integer(1, "")?, args.integer(2, "")?).and_then(|(part, before)| {
                let at = if method.starts_with('r') { part.rfind(&sought) } else { part.find(&sought) };
                at.map(|at| text[..before + at].chars().count())
            });
            match found {
                Some(at) => Value::from(at),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(fail("substring not found".to_owned())),
            }
        }
        "count" => {
            let sought = args.required(0)?;
            let part = slice(text, args.integer(1, "")?, args.integer(2, "")?);
            Value::from(part.map_or(0, |(part, _)| part.matches(&sought).count()))
        }
        "replace" => {
            let (old, new) = (args.required(0)?, args.required(1)?);
            Value::from(replaced(state, text, &old, &new, args.integer(2, "count")?)?)
        }
        "zfill" | "ljust" | "rjust" | "center" => padded(state, text, method, args)?,
        "expandtabs" => Value::from(expand_tabs(state, text, args.integer(0, "tabsize")?.unwrap_or(8))?),
        _ => {
            let found = letters::method(text, method)?;
            found.iter().try_for_each(|_| args.none())?;
            return Ok(found);
        }
    };
    Ok(Some(value))
}

/// `str.replace()`, at most so often.
pub(super) fn replaced(
    state: &State,
    text: &str,
    old: &str,
    new: &str,
    count: Option<i64>,
) -> Result<String, Error> {
    let most = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let places = if old.is_empty() { text.len() + 1 } else { text.len() / old.len() };
    state.consume_fuel((places.min(most) as u64).saturating_mul(new.len() as u64) / 64)?;
    Ok(text.replacen(old, new, most))
}

fn not_empty(separator: String) -> Result<String, Error> {
    if separator.is_empty() { Err(fail("empty separator".to_owned())) } else { Ok(separator) }
}

/// `split` and `rsplit`.
fn split(text: &str, from_end: bool, args: &Arguments<'_>) -> Result<Value, Error> {
    let most = args.integer(1, "maxsplit")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match args.text(0, "sep")?.map(not_empty).transpose()? {
        Some(separator) if from_end => {
            let mut parts: Vec<&str> = text.rsplitn(most.saturating_add(1), &separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(most.saturating_add(1), &separator).collect(),
        None => words(text, from_end, most),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The words between white space. At most `most` are cut off; what is left keeps the space at its far end.
fn words(text: &str, from_end: bool, most: usize) -> Vec<&str> {
    let near = |text: &'_ str| -> usize {
        if from_end {
            text.trim_end_matches(is_space).len()
        } else {
            text.len() - text.trim_start_matches(is_space).len()
        }
    };
    let mut rest = text;
    let mut words = Vec::new();
    loop {
        let at = near(rest);
        rest = if from_end { &rest[..at] } else { &rest[at..] };
        if rest.is_empty() {
            break;
        }
        let place = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = place.filter(|_| words.len() < most) else {
            words.push(rest);
            break;
        };
        if from_end {
            let word = rest[at..].trim_start_matches(is_space);
            words.push(word);
            rest = &rest[..rest.len() - word.len()];
        } else {
            words.push(&rest[..at]);
            rest = &rest[at..];
        }
    }
    if from_end {
        words.reverse();
    }
    words
}

/// `str.splitlines()`.
pub(super) fn lines(mut text: &str, keep_ends: bool) -> Vec<Value> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    while let Some(at) = text.find(ends) {
        let end = text[at..].chars().next().map_or(1, char::len_utf8);
        let end = at + if text[at..].starts_with("\r\n") { 2 } else { end };
        lines.push(Value::from(&text[..if keep_ends { end } else { at }]));
        text = &text[end..];
    }
    if !text.is_empty() {
        lines.push(Value::from(text));
    }
    lines
}

/// `startswith` and `endswith`.
fn affix(text: &str, at_end: bool, args: &Arguments<'_>) -> Result<Value, Error> {
    let sought = args.positional.first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let list: Vec<Value> =
        if sought.is_tuple() { sought.try_iter()?.collect() } else { vec![sought.clone()] };
    let Some((part, _)) = slice(text, args.integer(1, "")?, args.integer(2, "")?) else {
        return Ok(Value::from(false));
    };
    for affix in list {
        let affix =
            affix.as_str().ok_or_else(|| fail("a string or a tuple of strings is expected".to_owned()))?;
        if if at_end { part.ends_with(affix) } else { part.starts_with(affix) } {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

/// Widest text that padding makes.
const WIDEST: i64 = 1 << 20;

/// A width or a precision in a format, with one more of its characters: 0 where that is no digit.
///
/// # Errors
/// When it is too large.
pub(super) fn widened(width: i64, c: char) -> Result<i64, Error> {
    let width = c.to_digit(10).map_or(0, |digit| width * 10 + i64::from(digit));
    if width > WIDEST { Err(fail(format!("a width above {WIDEST}"))) } else { Ok(width) }
}

/// Refuses a format with braces that asks for too much.
fn check_widths(format: &str) -> Result<(), Error> {
    let (mut in_field, mut in_spec, mut width) = (false, false, 0);
    for c in format.chars() {
        match c {
            '{' => (in_field, in_spec) = (!in_field, false),
            '}' => (in_field, in_spec) = (false, false),
            ':' if in_field => in_spec = true,
            _ if in_spec => width = widened(width, c)?,
            _ => width = 0,
        }
    }
    Ok(())
}

fn padded(state: &State, text: &str, method: &str, args: &Arguments<'_>) -> Result<Value, Error> {
    let width = args.integer(0, "width")?.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let fill = if method == "zfill" { None } else { args.text(1, "fillchar")? };
    let fill = fill.unwrap_or_else(|| if method == "zfill" { "0" } else { " " }.to_owned());
    if fill.chars().count() != 1 {
        return Err(fail("the fill character must be exactly one character long".to_owned()));
    }
    pad(state, text, method, width, &fill).map(Value::from)
}

/// `str.center(width)`.
pub(super) fn centered(state: &State, text: &str, width: i64) -> Result<String, Error> {
    pad(state, text, "center", width, " ")
}

fn pad(state: &State, text: &str, method: &str, width: i64, fill: &str) -> Result<String, Error> {
    if width > WIDEST {
        return Err(fail(format!("a width above {WIDEST}")));
    }
    let width = usize::try_from(width).unwrap_or_default();
    let missing = width.saturating_sub(text.chars().count());
    state.consume_fuel(missing as u64 / 64)?;
    let left = match method {
        "ljust" => 0,
        // Python puts the odd one on the left where the width is odd, too.
        "center" => missing / 2 + (missing & width & 1),
        _ => missing,
    };
    let sign = usize::from(method == "zfill" && text.starts_with(['+', '-']));
    Ok(text[..sign].to_owned() + &fill.repeat(left) + &text[sign..] + &fill.repeat(missing - left))
}

fn expand_tabs(state: &State, text: &str, size: i64) -> Result<String, Error> {
    let size = usize::try_from(size.min(WIDEST)).unwrap_or_default();
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let width = if size == 0 { 0 } else { size - column % size };
                state.consume_fuel(width as u64 / 64)?;
                out.push_str(&" ".repeat(width));
                column += width;
            }
            _ => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}

fn sequence(list: &Value, method: &str, args: &Arguments<'_>) -> Result<Option<Value>, Error> {
    let sought = || args.positional.first().ok_or_else(|| Error::from(ErrorKind::MissingArgument));
    let value = match method {
        "count" => {
            let sought = sought()?;
            Value::from(list.try_iter()?.filter(|item| item == sought).count())
        }
        "index" => {
            let sought = sought()?;
            let (start, end) =
                bounds(list.len().unwrap_or_default(), args.integer(1, "")?, args.integer(2, "")?);
            let found = list.try_iter()?.enumerate().take(end).skip(start).find(|(_, item)| item == sought);
            Value::from(found.ok_or_else(|| fail("the item is not in the list".to_owned()))?.0)
        }
        "copy" => list.clone(),
        "append" | "extend" | "insert" | "pop" | "remove" | "sort" | "reverse" | "clear" => {
            return Err(unsafe_call(method));
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn map(map: &Value, method: &str, args: &Arguments<'_>) -> Result<Option<Value>, Error> {
    match method {
        "copy" => {
            args.none()?;
            Ok(Some(map.clone()))
        }
        "items" | "keys" | "values" if python::object_of_engine(map).is_none() => {
            args.none()?;
            Ok(iterators::view(python::pairs(map), method))
        }
        "update" | "pop" | "popitem" | "clear" | "setdefault" => Err(unsafe_call(method)),
        _ => Ok(None),
    }
}

/// The sandbox of transformers lets templates change no list and no object.
fn unsafe_call(method: &str) -> Error {
    fail(format!("access to attribute '{method}' of a list or object is unsafe"))
}
