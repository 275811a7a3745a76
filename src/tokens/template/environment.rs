//! What templates may call: the filters, tests and functions of Jinja2 and transformers, as they behave
//! there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::civil::DateTime;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value, functions};
use minijinja_contrib::globals::joiner;

use super::filters;
use super::iterators;
use super::methods;
use super::program::{
    ADDITION, ATTRIBUTE, COMPARISONS, CONCATENATION, CONTAINMENT, DEFAULT_OF_ARGUMENT, ITERATION,
    MACRO_ARGUMENTS, REMAINDER,
};
use super::python::{self, BigInteger, fail};

/// Steps that a rendering may take: some seconds, a thousand times what a long chat takes. A template is
/// a program, and may be one without end.
const MOST_STEPS: u64 = 1 << 28;

/// The environment in which all templates run.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(write_value);
    filters::add_to(&mut environment);
    environment.add_filter("format", |state: &State, text: &Value, given: Rest<ValueOrKwargs>| {
        let given = given.into_values();
        let fields = given.last().filter(|last| last.is_kwargs()).map(|fields| vec![fields.clone()]);
        let list = fields.unwrap_or(given);
        filters::formatted_as(text, list, |list| formatted(state, &python::text(text)?, list))
    });
    environment.add_filter(REMAINDER, remainder);
    environment.add_filter(ADDITION, filters::added);
    environment.add_filter(CONCATENATION, |left: &Value, right: &Value| {
        Ok::<_, Error>(python::text(left)?.into_owned() + &python::text(right)?)
    });
    environment.add_filter(CONTAINMENT, contains);
    environment.add_filter(ITERATION, |value: &Value| match value.kind() {
        ValueKind::None => Err(fail("'NoneType' object is not iterable".to_owned())),
        _ => Ok(value.clone()),
    });
    for (name, less, equal) in COMPARISONS {
        environment.add_filter(name, move |left: &Value, right: &Value| -> Result<bool, Error> {
            let (left, right) = (&iterators::listed(left), &iterators::listed(right));
            if left.kind() != right.kind() && !(is_number(left) && is_number(right))
                || !has_order(left, right)
            {
                return Err(fail(format!("{} and {} have no order", left.kind(), right.kind())));
            }
            Ok(if left == right {
                equal
            } else if less {
                left < right
            } else {
                left > right
            })
        });
    }
    environment.add_filter(ATTRIBUTE, methods::attribute);
    add_tests(&mut environment);
    for (name, refusal) in MACRO_ARGUMENTS {
        environment.add_function(refusal, move || -> Result<Value, Error> {
            Err(fail(format!("\"{name}\", the further arguments of macros, is not known here")))
        });
    }
    environment.add_function(DEFAULT_OF_ARGUMENT, || -> Result<Value, Error> {
        Err(fail("an argument as the default of another one is not known here".to_owned()))
    });
    environment.add_function("lipsum", |_: Rest<ValueOrKwargs>| -> Result<Value, Error> {
        Err(fail("the random text of lipsum() is not known here".to_owned()))
    });
    environment.add_function("range", iterators::range);
    environment.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        Err(fail(python::text(&message)?.into_owned()))
    });
    environment.add_function("cycler", |items: Rest<Value>| Cycler::new(items.0));
    environment.add_function("joiner", joiner);
    environment.add_function("namespace", namespace);
    environment.add_global("dict", Value::from_object(Dict));
    environment
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("callable", |value: &Value| match value.kind() {
        ValueKind::Plain => !is_big(value),
        ValueKind::Map => python::object_of_engine(value) == Some("macro"),
        kind => kind == ValueKind::Undefined,
    });
    environment.add_test("iterable", |value: &Value| match value.kind() {
        ValueKind::None => false,
        ValueKind::Undefined => true,
        ValueKind::Map => !filters::is_namespace(value),
        _ => value.try_iter().is_ok(),
    });
    environment.add_test("integer", |value: &Value| {
        value.kind() == ValueKind::Number && value.is_integer() || is_big(value)
    });
    environment.add_test("mapping", |value: &Value| {
        value.kind() == ValueKind::Map && python::object_of_engine(value).is_none()
    });
    environment.add_test("number", is_number);
    environment.add_test("sequence", |value: &Value| {
        use ValueKind::{Map, String, Undefined};
        matches!(value.kind(), Map | String | Undefined) && !filters::is_namespace(value)
            || iterators::is_list(value)
            || iterators::is_range(value)
    });
}

fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool) || is_big(value)
}

/// Whether values of one kind can be compared: numbers, texts, lists with lists and tuples with tuples.
fn has_order(left: &Value, right: &Value) -> bool {
    match left.kind() {
        ValueKind::Seq => left.is_tuple() == right.is_tuple(),
        ValueKind::Number | ValueKind::Bool | ValueKind::String => true,
        _ => is_big(left) || is_big(right),
    }
}

fn is_big(value: &Value) -> bool {
    value.downcast_object_ref::<BigInteger>().is_some()
}

/// The function `strftime_now` for a request at this time.
pub(super) fn strftime_now(now: DateTime) -> Value {
    Value::from_function(move |given: Rest<ValueOrKwargs>| -> Result<String, Error> {
        let format = filters::named(given, &["format"])?.get::<Value>("format")?;
        let format = format.as_str().ok_or_else(|| fail("a format of times must be a text".to_owned()))?;
        let format = of_python(format)?;
        jiff::fmt::strtime::format(format, now).map_err(|error| fail(error.to_string()))
    })
}

/// A format of Python for a time without a zone, where the language is English, as the library has it.
fn of_python(format: &str) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, conversion)) = rest.split_once('%') {
        out.push_str(before);
        let bare = conversion.trim_start_matches(['-', '_', '0', '^']);
        let known = |letter: &char| "aAbBcCdDeFfgGhHIjklmMnpPrRStTuUVwWxXyYzZ%".contains(*letter);
        let letter = bare
            .chars()
            .next()
            .filter(known)
            .ok_or_else(|| fail(format!("\"%{conversion}\" in a format of times is not known here")))?;
        match letter {
            'c' => out.push_str("%a %b %e %H:%M:%S %Y"),
            'f' => out.push_str("%6f"),
            'x' => out.push_str("%m/%d/%y"),
            'z' | 'Z' => {}
            _ => {
                out.push('%');
                out.push_str(&conversion[..=conversion.len() - bare.len()]);
            }
        }
        rest = &bare[1..];
    }
    Ok(out + rest)
}

/// Values in a text as Python writes them.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.kind() == ValueKind::Invalid {
        return Err(Error::new(ErrorKind::BadSerialization, value.to_string()));
    }
    let escaped =
        matches!(state.auto_escape(), AutoEscape::Html).then(|| filters::escape(value)).transpose()?;
    out.write_str(&python::text(escaped.as_ref().unwrap_or(value))?).map_err(Into::into)
}

/// `left % right`.
fn remainder(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let list: Vec<Value> =
            if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
        return filters::formatted_as(left, list, |list| formatted(state, text, list));
    }
    let zero = || fail("integer modulo by zero".to_owned());
    let whole =
        |value: &Value| i128::try_from(value.clone()).ok().filter(|_| python::as_float(value).is_none());
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        let rest = left.checked_rem(right).ok_or_else(zero)?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }));
    }
    let number = |value: &Value| f64::try_from(value.clone()).ok().filter(|_| !is_big(value));
    match (number(left), number(right)) {
        (Some(_), Some(0.0)) => Err(zero()),
        (Some(left), Some(right)) => {
            let rest = left % right;
            Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }))
        }
        _ => Err(fail(format!("unsupported operand types for %: {} and {}", left.kind(), right.kind()))),
    }
}

/// A text with its `%` conversions replaced. The engine writes values as it does, so those that are to be
/// texts become so before: `%s` by `str()`, `%r` by `repr()`.
fn formatted(state: &State, text: &str, mut values: Vec<Value>) -> Result<String, Error> {
    state.consume_fuel(text.len() as u64)?;
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut place = 0;
    let named = values.len() == 1 && values[0].kind() == ValueKind::Map && text.contains("%(");
    while let Some(c) = chars.next() {
        out.push(c);
        if c != '%' {
            continue;
        }
        let (mut in_name, mut width) = (false, 0);
        for c in chars.by_ref() {
            in_name = c == '(' || in_name && c != ')';
            width = if in_name { 0 } else { methods::widened(width, c)? };
            if in_name || !c.is_alphabetic() && c != '%' {
                out.push(c);
                continue;
            }
            if c == 'a' {
                return Err(fail("%a in a text is not known here".to_owned()));
            }
            let repr = c == 'r';
            if (repr || c == 's')
                && !named
                && let Some(value) = values.get_mut(place)
            {
                *value = if repr {
                    Value::from(python::repr_of(value)?)
                } else {
                    Value::from(python::text(value)?)
                };
            }
            place += usize::from(c != '%');
            out.push(if repr { 's' } else { c });
            break;
        }
    }
    // An object may have more fields than are used.
    let fields = values.len() == 1 && matches!(values[0].kind(), ValueKind::Map | ValueKind::Seq);
    if place < values.len() && !fields {
        return Err(fail("not all arguments converted during string formatting".to_owned()));
    }
    if named {
        let texts = python::pairs(&values[0]).map(|(name, value)| match value.kind() {
            ValueKind::Number => Ok((name, value)),
            _ => Ok((name, Value::from(python::text(&value)?))),
        });
        values = vec![Value::from_pairs(texts.collect::<Result<Vec<_>, Error>>()?)];
    }
    let text = format(FormatStyle::Printf, &out, &values)?;
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(text)
}

/// `item in container`.
fn contains(state: &State, item: &Value, container: &Value) -> Result<bool, Error> {
    state.consume_fuel(container.len().unwrap_or_default() as u64 / 16)?;
    let found = match container.kind() {
        ValueKind::Undefined => false,
        ValueKind::String => {
            let item = item.as_str().ok_or_else(|| fail("'in <string>' requires a string".to_owned()))?;
            container.as_str().is_some_and(|text| text.contains(item))
        }
        ValueKind::Map => container.get_item(item).is_ok_and(|value| !value.is_undefined()),
        ValueKind::Seq | ValueKind::Iterable => container.try_iter()?.any(|other| other == *item),
        kind => return Err(fail(format!("argument of type {kind} is not iterable"))),
    };
    Ok(found)
}

/// What `cycler()` gives.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    place: AtomicUsize,
}

impl Cycler {
    #[expect(clippy::new_ret_no_self, reason = "templates know values only")]
    fn new(items: Vec<Value>) -> Result<Value, Error> {
        if items.is_empty() {
            return Err(fail("at least one item has to be provided".to_owned()));
        }
        Ok(Value::from_object(Self { items, place: AtomicUsize::new(0) }))
    }

    fn current(&self) -> Value {
        self.items[self.place.load(Ordering::Relaxed) % self.items.len()].clone()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.current())
    }

    fn call_method(self: &Arc<Self>, _: &mut State, method: &str, _: &[Value]) -> Result<Value, Error> {
        match method {
            "next" => {
                let current = self.current();
                self.place.fetch_add(1, Ordering::Relaxed);
                Ok(current)
            }
            "reset" => {
                self.place.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `namespace(...)`.
fn namespace(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    functions::namespace(Some(dict(&given.into_values())?.into()))
}

/// `dict(...)`.
fn dict(args: &[Value]) -> Result<Value, Error> {
    let mut fields = Vec::new();
    for given in args {
        if given.kind() == ValueKind::Map {
            fields.extend(python::pairs(given));
            continue;
        }
        for pair in given.try_iter()? {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            let [key, value] = &pair[..] else { return Err(fail("dict() needs pairs".to_owned())) };
            fields.push((key.clone(), value.clone()));
        }
    }
    Ok(Value::from_pairs(fields))
}

/// `dict`.
#[derive(Debug)]
struct Dict;

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State, args: &[Value]) -> Result<Value, Error> {
        dict(args)
    }

    fn call_method(self: &Arc<Self>, _: &mut State, method: &str, args: &[Value]) -> Result<Value, Error> {
        let (Some(keys), "fromkeys") = (args.first(), method) else {
            return Err(Error::from(ErrorKind::UnknownMethod));
        };
        let value = args.get(1).cloned().unwrap_or_else(|| Value::from(()));
        Ok(Value::from_pairs(keys.try_iter()?.map(|key| (key, value.clone())).collect::<Vec<_>>()))
    }
}
