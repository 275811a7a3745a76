//! Filters of Jinja2 that the engine lacks, or that behave otherwise there.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};
use minijinja_contrib::filters::{filesizeformat, striptags, truncate};

use super::iterators::{self, TO_GENERATOR, TO_GROUPS};
use super::letters;
use super::methods;
use super::python::{self, BigInteger, JsonStyle, fail};

/// Widest indentation that `tojson` and `indent` write.
const MOST_INDENT: usize = 100;

/// A filter that takes any value for its text.
type OfText = fn(&str) -> String;

/// Adds them to the environment.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    for name in ["e", "escape", "forceescape"] {
        environment.add_filter(name, escape);
    }
    environment.add_filter(TO_GENERATOR, iterators::generator);
    environment.add_filter(TO_GROUPS, |groups: &Value| iterators::groups(groups));
    for name in ["random", "urlize", "wordwrap", "xmlattr"] {
        environment.add_filter(name, move |_: &Value, _: Rest<ValueOrKwargs>| -> Result<Value, Error> {
            Err(fail(format!("the filter {name} is not known here")))
        });
    }
    environment.add_filter("attr", |value: &Value, name: &Value| match value.kind() {
        // Fields of objects are items, not attributes.
        ValueKind::Map if !is_namespace(value) => Value::UNDEFINED,
        _ => value.get_item(name).unwrap_or(Value::UNDEFINED),
    });
    // These take any value for the text that it prints as.
    let of_text: [(_, OfText); 4] = [
        ("capitalize", letters::capitalized),
        ("lower", |text| text.to_lowercase()),
        ("upper", |text| text.to_uppercase()),
        ("title", letters::title_of_words),
    ];
    for (name, filter) in of_text {
        environment.add_filter(name, move |value: &Value| python::text(value).map(|text| filter(&text)));
    }
    environment.add_filter("replace", replace);
    environment.add_filter("center", |state: &State, value: &Value, given: Rest<ValueOrKwargs>| {
        let width = named(given, &["width"])?.get::<Option<i64>>("width")?;
        methods::centered(state, &python::text(value)?, width.unwrap_or(80))
    });
    for name in ["d", "default"] {
        environment.add_filter(name, default);
    }
    environment.add_filter("dictsort", |value: &Value, given: Rest<ValueOrKwargs>| {
        filters::dictsort(value, named(given, &["case_sensitive", "by", "reverse"])?)
    });
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_filter("float", |value: &Value, default: Option<Value>| {
        to_float(value).map(|number| number.map_or(default.unwrap_or(Value::from(0.0)), Value::from))
    });
    environment.add_filter("indent", indent);
    environment.add_filter("int", to_integer);
    environment.add_filter("pprint", pretty);
    environment.add_filter("sort", |state: &State, value: Value, given: Rest<ValueOrKwargs>| {
        filters::sort(state, value, named(given, &["reverse", "case_sensitive", "attribute"])?)
    });
    environment.add_filter("string", |value: &Value| match value.as_str() {
        Some(_) => Ok(value.clone()),
        None => python::text(value).map(Value::from),
    });
    environment.add_filter("striptags", striptags);
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", |state: &mut State, value: &Value, given: Rest<ValueOrKwargs>| {
        truncate(
            state,
            &Value::from(python::text(value)?),
            named(given, &["length", "killwords", "end", "leeway"])?,
        )
    });
    environment.add_filter("unique", |state: &State, value: Value, given: Rest<ValueOrKwargs>| {
        filters::unique(state, value, named(given, &["case_sensitive", "attribute"])?)
    });
    environment.add_filter("urlencode", url_encoded);
    environment.add_filter("wordcount", |value: &Value| {
        let text = python::text(value)?;
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        Ok::<_, Error>(words.filter(|word| !word.is_empty()).count())
    });
}

/// Whether a value is what `namespace()` makes.
pub(super) fn is_namespace(value: &Value) -> bool {
    python::object_of_engine(value) == Some("namespace")
}

fn default(value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = named(given, &["default_value", "boolean"])?;
    let other = if given.has("default_value") { given.get("default_value")? } else { Value::from("") };
    let boolean = given.get::<Option<Value>>("boolean")?.is_some_and(|boolean| boolean.is_true());
    let missing = value.is_undefined() || boolean && !value.is_true();
    Ok(if missing { other } else { value.clone() })
}

/// Arguments that are given in their order or by these names, all by name.
pub(super) fn named(given: Rest<ValueOrKwargs>, names: &[&'static str]) -> Result<Kwargs, Error> {
    let mut given = given.into_values();
    let last = if given.last().is_some_and(Value::is_kwargs) { given.pop() } else { None };
    if given.len() > names.len() {
        return Err(fail(format!("at most {} arguments are expected", names.len())));
    }
    let by_name = last.iter().flat_map(python::pairs).map(|(name, value)| (python::json_text(&name), value));
    let in_order = names.iter().map(|&name| name.to_owned()).zip(given);
    Ok(in_order.chain(by_name).collect())
}

/// `escape`.
pub(super) fn escape(value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let mut out = String::new();
    for c in python::text(value)?.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

/// `left + right`: to a text that is marked as safe another one is added escaped.
pub(super) fn added(left: &Value, right: &Value) -> Result<Value, Error> {
    match (left.as_str(), right.as_str()) {
        (Some(_), Some(_)) if left.is_safe() || right.is_safe() => {
            let [left, right] = [escape(left)?, escape(right)?];
            Ok(Value::from_safe_string(python::text(&left)?.into_owned() + &python::text(&right)?))
        }
        _ => {
            let sum = Environment::new();
            let operands = [("left", left.clone()), ("right", right.clone())];
            sum.compile_expression("left + right")?.eval(Value::from_pairs(operands))
        }
    }
}

/// A text of this pattern: one that is marked as safe takes texts escaped.
pub(super) fn formatted_as(
    pattern: &Value,
    mut values: Vec<Value>,
    format: impl FnOnce(Vec<Value>) -> Result<String, Error>,
) -> Result<Value, Error> {
    if !pattern.is_safe() {
        return format(values).map(Value::from);
    }
    for value in values.iter_mut().filter(|value| value.as_str().is_some()) {
        *value = escape(value)?;
    }
    format(values).map(Value::from_safe_string)
}

fn replace(state: &State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let given = named(given, &["old", "new", "count"])?;
    let [old, new] = [given.get::<Value>("old")?, given.get::<Value>("new")?];
    let count = given.get::<Option<i64>>("count")?;
    methods::replaced(state, &python::text(value)?, &python::text(&old)?, &python::text(&new)?, count)
}

fn trim(value: &Value, chars: Option<&str>) -> Result<String, Error> {
    let text = python::text(value)?;
    let trimmed = match chars {
        Some(chars) => text.trim_matches(|c| chars.contains(c)),
        None => text.trim_matches(letters::is_space),
    };
    Ok(trimmed.to_owned())
}

/// The text of a number without the underscores that may stand between digits; nothing where others are in it.
fn digits(text: &Value) -> Result<Option<String>, Error> {
    let text = python::text(text)?;
    if text.chars().any(|c| !c.is_ascii() && c.is_numeric()) {
        return Err(fail("digits other than 0 to 9 in a number are not known here".to_owned()));
    }
    let text = text.trim_matches(letters::is_space);
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let wrong =
        |at: usize| bytes[at] == b'_' && !(at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1)));
    Ok((!(0..bytes.len()).any(wrong)).then(|| text.replace('_', "")))
}

/// `float(value)`; nothing where Python's raises an error that the filters catch.
fn to_float(value: &Value) -> Result<Option<f64>, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(fail("the value is undefined".to_owned())),
        ValueKind::Bool => Ok(Some(f64::from(u8::from(value.is_true())))),
        ValueKind::Number => Ok(f64::try_from(value.clone()).ok()),
        ValueKind::String => Ok(digits(value)?.and_then(|text| text.parse().ok())),
        _ => Ok(value.downcast_object_ref::<BigInteger>().and_then(|big| big.0.parse().ok())),
    }
}

/// `int`.
fn to_integer(value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = named(given, &["default", "base"])?;
    let default = given.get::<Option<Value>>("default")?.unwrap_or(Value::from(0));
    let base = given.get::<Option<u32>>("base")?.unwrap_or(10);
    if value.as_str().is_none() && (value.is_integer() || value.downcast_object_ref::<BigInteger>().is_some())
    {
        return Ok(value.clone());
    }
    if let Some(text) = value.as_str().map(|_| digits(value)).transpose()?.flatten() {
        let text = text.to_lowercase();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let prefixes = [(2, "0b"), (8, "0o"), (16, "0x")];
        let prefix =
            prefixes.iter().find(|(own, prefix)| (base == *own || base == 0) && digits.starts_with(prefix));
        let (base, digits) = prefix.map_or((base, digits), |(own, prefix)| (*own, &digits[prefix.len()..]));
        let base = if base == 0 { 10 } else { base };
        if (2..=36).contains(&base)
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && let Ok(number) = i128::from_str_radix(digits, base)
        {
            return Ok(Value::from(sign * number));
        }
    }
    let number = to_float(value)?.filter(|number| number.is_finite());
    Ok(number.map_or(default, |number| Value::from(number.trunc() as i128)))
}

/// Columns that `pprint` gives a line.
const LINE: usize = 80;

/// `pprint`: `repr()` with the keys of objects in order. Where that does not go on one line, Python breaks it.
fn pretty(state: &State, value: &Value) -> Result<String, Error> {
    let line = python::repr_of(&in_order(value)?)?;
    state.consume_fuel(line.len() as u64 / 8)?;
    if line.chars().count() > LINE {
        return Err(fail(format!(
            "the filter pprint is not known here for more than a line of {LINE} columns"
        )));
    }
    Ok(line)
}

/// The value with the keys of all objects in order.
fn in_order(value: &Value) -> Result<Value, Error> {
    let items = || value.try_iter()?.map(|item| in_order(&item)).collect::<Result<Vec<_>, _>>();
    match value.kind() {
        ValueKind::Map => {
            let mut fields: Vec<_> = python::pairs(value).collect();
            if fields.windows(2).any(|pair| pair[0].0.kind() != pair[1].0.kind()) {
                return Err(fail("the filter pprint is not known here for keys of several types".to_owned()));
            }
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields = fields.into_iter().map(|(name, value)| Ok::<_, Error>((name, in_order(&value)?)));
            Ok(Value::from_pairs(fields.collect::<Result<Vec<_>, _>>()?))
        }
        ValueKind::Seq if value.is_tuple() => Ok(Value::from(Tuple::new(items()?))),
        ValueKind::Seq => Ok(Value::from(items()?)),
        _ => Ok(value.clone()),
    }
}

/// `urlencode`: a text for a path, or the fields of an object, or pairs, as a query.
fn url_encoded(state: &State, value: &Value) -> Result<String, Error> {
    if !matches!(value.kind(), ValueKind::Undefined | ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        return percent_encoded(state, value, "/");
    }
    let pairs: Vec<Vec<Value>> = match value.kind() {
        ValueKind::Map => python::pairs(value).map(|(name, value)| vec![name, value]).collect(),
        _ => {
            value.try_iter()?.map(|pair| pair.try_iter().map(Iterator::collect)).collect::<Result<_, _>>()?
        }
    };
    let of_query = |part: &Value| Ok::<_, Error>(percent_encoded(state, part, "")?.replace("%20", "+"));
    let fields = pairs.iter().map(|pair| match &pair[..] {
        [name, value] => Ok(format!("{}={}", of_query(name)?, of_query(value)?)),
        _ => Err(fail("urlencode needs pairs".to_owned())),
    });
    Ok(fields.collect::<Result<Vec<_>, _>>()?.join("&"))
}

/// The value as a text in which all bytes but letters, digits and a few marks are escaped.
fn percent_encoded(state: &State, value: &Value, kept: &str) -> Result<String, Error> {
    let text = python::text(value)?;
    state.consume_fuel(text.len() as u64 / 8)?;
    let mut out = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "_.-~".contains(c) || kept.contains(c) => out.push(c),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

/// `indent`, whose lines end wherever those of `str.splitlines` do.
fn indent(state: &State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let given = named(given, &["width", "first", "blank"])?;
    let width = given.get::<Option<Value>>("width")?.unwrap_or(Value::from(4));
    let flag =
        |name: &str| Ok::<_, Error>(given.get::<Option<Value>>(name)?.is_some_and(|value| value.is_true()));
    let (first, blank) = (flag("first")?, flag("blank")?);
    let indent = indentation(&width)?;
    let lines = methods::lines(&(python::text(value)?.into_owned() + "\n"), false);
    state.consume_fuel((lines.len() * indent.len()) as u64 / 64)?;
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "\n" });
        if if at == 0 { first } else { blank || line.is_true() } {
            out.push_str(&indent);
        }
        out.push_str(line.as_str().unwrap_or_default());
    }
    given.assert_all_used()?;
    Ok(out)
}

/// An indentation: a text, or a number of spaces.
fn indentation(width: &Value) -> Result<String, Error> {
    let indent = match width.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(i64::try_from(width.clone())?.clamp(0, MOST_INDENT as i64 + 1) as usize),
    };
    if indent.len() > MOST_INDENT {
        return Err(fail(format!("an indent above {MOST_INDENT}")));
    }
    Ok(indent)
}

/// `tojson` of transformers: `json.dumps` with its arguments, and without escapes of what is not ASCII.
fn to_json(state: &State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let given = named(given, &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let argument =
        |name: &str| given.get::<Option<Value>>(name).map(|value| value.filter(|value| !value.is_none()));
    let flag = |name: &str| argument(name).map(|value| value.is_some_and(|value| value.is_true()));
    let indent = argument("indent")?.map(|width| indentation(&width)).transpose()?;
    let mut separators = [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()];
    if let Some(pair) = argument("separators")? {
        let pair: Vec<Value> = pair.try_iter()?.collect();
        let [item, key] = &pair[..] else { return Err(fail("separators are a pair".to_owned())) };
        separators = [python::text(item)?.into_owned(), python::text(key)?.into_owned()];
    }
    let [item_separator, key_separator] = separators;
    let (ensure_ascii, sort_keys) = (flag("ensure_ascii")?, flag("sort_keys")?);
    given.assert_all_used()?;
    let text = JsonStyle { ensure_ascii, indent, item_separator, key_separator, sort_keys }.dumps(value)?;
    state.consume_fuel(text.len() as u64 / 8)?;
    Ok(text)
}
