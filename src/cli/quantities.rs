//! Values of the options of `trace-stats` that are more than a number, and the names of its choices.

use super::choice::{Choice, NamedValues};
use super::value::Value;
use crate::blocks::BlockNumber;
use crate::report::Format;
use crate::report::prometheus_label_of;
use crate::stats::{
    Answers, Capacity, HitRule, PieceRange, Policy, Price, ServerHits, Ttl, Warmup, WindowSize,
};

impl Choice for Format {
    const NAMES: NamedValues<Self> = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("prometheus", Self::Prometheus),
        ("html", Self::Html),
        ("svg", Self::Svg),
    ];
}

impl Choice for HitRule {
    const NAMES: NamedValues<Self> = &[("reference", Self::Reference), ("engine", Self::Engine)];
}

impl Choice for Answers {
    const NAMES: NamedValues<Self> =
        &[("recorded", Self::Recorded), ("infer", Self::Inferred), ("none", Self::Ignored)];
}

pub(super) fn percentile(value: &Value) -> Result<f64, String> {
    let p = value.number()?;
    let is_valid = (0.0..=100.0).contains(&p);
    is_valid.then_some(p).ok_or(format!("{p} is not between 0 and 100"))
}

/// Refuses a number of tokens with commas between its thousands, as servers print it: 123,392tok would be two sizes.
pub(super) fn one_number(list: &Value) -> Result<(), String> {
    let items: Vec<&str> = list.text()?.split(',').map(str::trim).collect();
    let digits =
        |text: &str| text.len() <= 3 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = items.windows(2).find(|pair| {
        let of_tokens = pair[1].find("tok").map(|end| pair[1][..end].trim_end());
        digits(pair[0]) && of_tokens.is_some_and(|number| number.len() == 3 && digits(number))
    });
    grouped.map_or(Ok(()), |pair| {
        let (first, second) = (pair[0], pair[1]);
        Err(format!(
            "{first},{second}: commas separate sizes, so write {first}{second} for one size, {second},{first} for two"
        ))
    })
}

pub(super) fn capacity(value: &Value) -> Result<Capacity, String> {
    let text = value.text()?;
    if text.starts_with('0') && text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!(
            "'{text}' begins with a zero; commas separate sizes, so write 418000tok for 418,000tok"
        ));
    }
    if let Some(tokens) = ["tokens", "token", "tok"].iter().find_map(|unit| text.strip_suffix(unit)) {
        return Value::new(tokens.trim_end()).positive().map(Capacity::Tokens);
    }
    let number = value.positive_size()?;
    if text.ends_with('B') {
        return Ok(Capacity::Bytes(number));
    }
    if number > u64::from(BlockNumber::MAX) {
        return Err(format!(
            "{text} is more blocks than there can be; bytes have a B at the end, as in {text}B, and tokens tok"
        ));
    }
    Ok(Capacity::Blocks(number))
}

impl Choice for Policy {
    const NAMES: NamedValues<Self> = &[
        (Self::Lru.name(), Self::Lru),
        (Self::Fifo.name(), Self::Fifo),
        (Self::Lfu.name(), Self::Lfu),
        (Self::Opt.name(), Self::Opt),
        (Self::Arc.name(), Self::Arc),
        (Self::Clock.name(), Self::Clock),
        (Self::Gdsf.name(), Self::Gdsf),
        (Self::S3Fifo.name(), Self::S3Fifo),
        (Self::Sieve.name(), Self::Sieve),
        (Self::Slru.name(), Self::Slru),
        (Self::WTinyLfu.name(), Self::WTinyLfu),
        (Self::Priority.name(), Self::Priority),
        (Self::Vllm.name(), Self::Vllm),
        (Self::Sglang.name(), Self::Sglang),
        (Self::Lmcache.name(), Self::Lmcache),
    ];
}

/// Adds policies that are not there yet: `lru,priority=level` names the field of the priority too, which is
/// `priority` if it is not named.
pub(super) fn policies(
    value: &Value,
    list: &mut Vec<Policy>,
    priority: &mut Option<String>,
) -> Result<(), String> {
    let mut named = Vec::new();
    value.add_to(&mut named, |item| match item.text()?.strip_prefix("priority=") {
        Some("") => Err("'priority=' names no field".to_owned()),
        Some(field) => Ok((Policy::Priority, Some(field.to_owned()))),
        None => Ok((item.pick()?, None)),
    })?;
    for (policy, field) in named {
        if policy == Policy::Priority {
            let field = field.unwrap_or_else(|| policy.name().to_owned());
            if let Some(before) = priority.replace(field.clone()).filter(|before| *before != field) {
                return Err(format!("priority={before} and priority={field} are two fields; expected one"));
            }
        }
        if !list.contains(&policy) {
            list.push(policy);
        }
    }
    Ok(())
}

/// `5m`: since the last use; `fixed:5m`: since the write.
pub(super) fn ttl(value: &Value) -> Result<Ttl, String> {
    match value.text()?.strip_prefix("fixed:") {
        Some(time) => Value::new(time).duration_ms().map(Ttl::Fixed),
        None => value.duration_ms().map(Ttl::Sliding),
    }
}

/// `hbm=64GiB,dram=512GiB`: the tiers of a cache, the fastest first. One of them may be `dram=curve`, of all sizes.
pub(super) fn tiers(value: &Value) -> Result<Vec<(String, Option<Capacity>)>, String> {
    let text = value.text()?;
    let tier = |part: &str| {
        let (name, size) = part.split_once('=').filter(|(name, _)| is_name(name)).ok_or_else(|| {
            format!("'{part}' is not a tier; expected its name and its size, such as dram=512GiB")
        })?;
        let size = if size == "curve" { None } else { Some(capacity(&Value::new(size))?) };
        Ok((name.to_owned(), size))
    };
    let tiers: Vec<(String, Option<Capacity>)> = text.split(',').map(tier).collect::<Result<_, String>>()?;
    let names = tiers.iter().map(|(name, _)| name.as_str()).chain(["shared"]).collect::<Vec<_>>();
    if tiers.iter().filter(|(_, size)| size.is_none()).count() > 1 {
        return Err("one tier of a list may be a curve, and the others have a size".into());
    }
    match names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        Some((_, name)) => Err(format!("two tiers are called {name}")),
        None => Ok(tiers),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A share of hits for which there is a smallest cache.
pub(super) fn share(value: &Value) -> Result<f64, String> {
    let share = value.share()?;
    if share == 0.0 {
        return Err(format!("'{}': no cache at all serves nothing; expected more", value.text()?));
    }
    Ok(share)
}

/// `60s` or `5m`: a span of trace time; `10000req` or `10kreq`: a number of requests.
pub(super) fn window(value: &Value) -> Result<WindowSize, String> {
    let text = value.text()?;
    if text.ends_with(['s', 'm', 'h', 'd']) {
        let length = value.duration_ms()?;
        let none = || "a window of no time; expected such as 60s".to_owned();
        return (length > 0).then_some(WindowSize::Time(length)).ok_or_else(none);
    }
    if !text.ends_with("req") && value.positive().is_ok() {
        return Err(format!("'{text}' has no unit; expected such as {text}s of trace time or {text}req"));
    }
    value.requests().map(WindowSize::Requests)
}

/// `3/100`: the third of a hundred pieces; `24-30/100`: some of them.
pub(super) fn piece(value: &Value) -> Result<PieceRange, String> {
    let text = value.text()?;
    let range = text.split_once('/').and_then(|(range, of)| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(PieceRange { first: first.parse().ok()?, last: last.parse().ok()?, of: of.parse().ok()? })
    });
    let is_right = |it: &PieceRange| 0 < it.first && it.first <= it.last && it.last <= it.of;
    range.filter(is_right).ok_or(format!("'{text}' is not a piece; expected such as 3/100"))
}

/// `model=llama`: a label of Prometheus.
pub(super) fn prometheus_label(value: &Value) -> Result<(String, String), String> {
    let text = value.text()?;
    let (name, label) =
        text.split_once('=').ok_or_else(|| format!("'{text}' is no label; expected NAME=VALUE"))?;
    if name.is_empty() || prometheus_label_of(name) != name {
        return Err(format!("'{name}' is not the name of a label, or one that samples have already"));
    }
    if label.is_empty() {
        return Err(format!("the label {name} has no value, which Prometheus takes for no label"));
    }
    Ok((name.to_owned(), label.to_owned()))
}

pub(super) fn warmup(value: &Value) -> Result<Warmup, String> {
    let number = value.number().unwrap_or(1.0);
    if value.text()?.contains('.') && (0.0..1.0).contains(&number) {
        return Ok(Warmup::Fraction(number));
    }
    value.count().map(Warmup::Requests)
}

pub(super) fn sample_size(value: &Value) -> Result<usize, String> {
    let size = value.count()?;
    if size < 100 {
        return Err(format!("a sample of {size} blocks is too small; expected 100 or more"));
    }
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

/// The counters of a server in a file.
pub(super) fn scrape(value: &Value) -> Result<Vec<ServerHits>, String> {
    let path = value.file()?;
    let name = path.display();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
    ServerHits::of_scrape(&text).map_err(|message| format!("{name}: {message}"))
}

/// `input=3,cached=0.3,write=3.75,output=15`: prices of a million tokens.
pub(super) fn price(value: &Value) -> Result<Price, String> {
    let text = value.text()?;
    let wrong =
        |what: &str| format!("'{text}' {what}; expected such as input=3,cached=0.3,write=3.75,output=15");
    let mut prices = [("input", None), ("cached", None), ("write", None), ("output", None)];
    for part in text.split(',') {
        let (name, price) = part.trim().split_once('=').ok_or_else(|| wrong("is not a list of prices"))?;
        let known = prices.iter_mut().find(|(of, _)| *of == name);
        let (_, place) = known.ok_or_else(|| wrong(&format!("has a price of '{name}'")))?;
        let price = Value::new(price).number()?;
        if !(0.0..=1e9).contains(&price) {
            return Err(wrong("has a price that is not between 0 and 1e9"));
        }
        if place.replace(price).is_some() {
            return Err(wrong(&format!("has two prices of '{name}'")));
        }
    }
    let [input, cached, write, output] = prices.map(|(_, price)| price);
    let input = input.ok_or_else(|| wrong("lacks the price of input"))?;
    let cached = cached.ok_or_else(|| wrong("lacks the price of cached tokens"))?;
    let write = write.unwrap_or(input);
    if cached > input.min(write) {
        return Err(wrong("has cached tokens that cost more than others"));
    }
    let mut price = Price::default();
    (price.input, price.cached, price.write, price.output) = (input, cached, write, output.unwrap_or(0.0));
    Ok(price)
}
