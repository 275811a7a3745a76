//! Logs of chats in which something is planted that breaks prefixes, and nothing else does.
//!
//! Sessions ask new questions one after the other, each with all that was said before: that is honest novelty. In
//! some requests something is otherwise than in all others: the fault. What follows from it is known by
//! construction.

use fastrand::Rng;
use serde_json::{Value, json};

/// The API that a log is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    OpenAi,
    Anthropic,
    Responses,
}

pub const SHAPES: [Shape; 3] = [Shape::OpenAi, Shape::Anthropic, Shape::Responses];

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    ClockFirst,
    ClockWithin,
    Epoch,
    Date,
    Uuid,
    RequestId,
    BillingHeader,
    Counter,
    UserName,
    ToolOrder,
    ToolMore,
    ToolLess,
    KeyOrder,
    WhiteSpace,
    Truncated,
    Summarised,
    Edited,
    Image,
    Model,
    Salt,
    Adapter,
    Retrieval,
}

pub const FAULTS: [Fault; 22] = [
    Fault::ClockFirst,
    Fault::ClockWithin,
    Fault::Epoch,
    Fault::Date,
    Fault::Uuid,
    Fault::RequestId,
    Fault::BillingHeader,
    Fault::Counter,
    Fault::UserName,
    Fault::ToolOrder,
    Fault::ToolMore,
    Fault::ToolLess,
    Fault::KeyOrder,
    Fault::WhiteSpace,
    Fault::Truncated,
    Fault::Summarised,
    Fault::Edited,
    Fault::Image,
    Fault::Model,
    Fault::Salt,
    Fault::Adapter,
    Fault::Retrieval,
];

impl Fault {
    /// What is to be said of it.
    pub fn difference(self) -> &'static str {
        match self {
            Self::ClockFirst | Self::ClockWithin | Self::Epoch => "time",
            Self::Date => "date",
            Self::Uuid | Self::RequestId | Self::BillingHeader => "hash",
            Self::Counter => "counter",
            Self::UserName | Self::Summarised | Self::Edited | Self::Retrieval => "text",
            Self::ToolOrder | Self::KeyOrder => "order",
            Self::ToolMore => "insertion",
            Self::ToolLess | Self::Truncated => "removal",
            Self::WhiteSpace => "white_space",
            Self::Image => "part",
            Self::Model => "model",
            Self::Salt => "salt",
            Self::Adapter => "adapter",
        }
    }

    /// How the JSON Pointer begins that leads to it.
    pub fn place(self, shape: Shape) -> &'static str {
        let by = |openai, anthropic, responses| match shape {
            Shape::OpenAi => openai,
            Shape::Anthropic => anthropic,
            Shape::Responses => responses,
        };
        match self {
            Self::ToolOrder | Self::ToolMore | Self::ToolLess => "/tools/1",
            Self::KeyOrder => {
                by("/tools/1/function/parameters", "/tools/1/input_schema", "/tools/1/parameters")
            }
            // The first question stays, and the next ones go or are something else.
            Self::Truncated | Self::Summarised => by("/messages/2", "/messages/1", "/input/1"),
            Self::Edited => {
                by("/messages/3/content", "/messages/2/content/0/text", "/input/2/content/0/text")
            }
            Self::Image => by("/messages/1/content/0", "/messages/0/content/0", "/input/0/content/0"),
            Self::Model => "/model",
            Self::Salt => "/cache_salt",
            Self::Adapter => "/lora_name",
            _ => by("/messages/0/content", "/system/0/text", "/instructions"),
        }
    }
}

/// A line of a log.
pub struct Line {
    pub json: String,
    /// Whether the fault is in it.
    pub planted: bool,
}

/// New words, which are nowhere else.
fn words(random: &mut Rng, count: usize) -> String {
    let word = |random: &mut Rng| (0..random.usize(3..9)).map(|_| random.lowercase()).collect::<String>();
    (0..count).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

fn hex(random: &mut Rng, digits: usize) -> String {
    // A digit and a letter at least, as in nearly all ids.
    let mut digit = |from: u32| char::from_digit(random.u32(from..16), 16).unwrap();
    let more: String = (2..digits).map(|_| digit(0)).collect();
    format!("{}{}{more}", digit(10), random.u8(1..10))
}

/// The words of a request that differ from request to request where something is planted.
struct Facts {
    clock: String,
    epoch: u64,
    date: String,
    uuid: String,
    id: String,
    cch: String,
    counter: u32,
    name: String,
    found: String,
}

impl Facts {
    /// Those of all requests in which nothing is planted.
    fn usual() -> Self {
        Self {
            clock: "12:00:00".into(),
            epoch: 1_764_000_000,
            date: "2026-11-27".into(),
            uuid: "123e4567-e89b-12d3-a456-426614174000".into(),
            id: "0a1b2c3d4e5f60718293".into(),
            cch: "0a0a0".into(),
            counter: 100,
            name: "Alice".into(),
            found: "Nothing was found.".into(),
        }
    }

    fn with(mut self, fault: Fault, random: &mut Rng) -> Self {
        match fault {
            Fault::ClockFirst | Fault::ClockWithin => {
                let time = [random.u8(0..12), random.u8(0..60), random.u8(0..60)];
                self.clock = time.map(|number| format!("{number:02}")).join(":");
            }
            Fault::Epoch => self.epoch += random.u64(1..900_000),
            Fault::Date => self.date = format!("2026-{:02}-{:02}", random.u8(1..11), random.u8(1..29)),
            Fault::Uuid => {
                self.uuid = [8, 4, 4, 4, 12].map(|digits| hex(random, digits)).join("-");
            }
            Fault::RequestId => self.id = hex(random, 20),
            Fault::BillingHeader => self.cch = hex(random, 5),
            Fault::Counter => self.counter += random.u32(1..800),
            Fault::UserName => self.name = format!("{}{}", random.uppercase(), words(random, 1)),
            Fault::Retrieval => self.found = format!("Found: {}", words(random, 60)),
            _ => {}
        }
        self
    }

    /// The system prompt around them.
    fn system(&self, stable: &[String], fault: Fault) -> String {
        let header = format!("x-anthropic-billing-header: cc_version=2.1; cch={};\n", self.cch);
        let first = match fault {
            Fault::ClockFirst => format!("It is {}. ", self.clock),
            Fault::BillingHeader => header,
            _ => String::new(),
        };
        let fact = match fault {
            Fault::ClockWithin => format!("The time is {} here.", self.clock),
            Fault::Epoch => format!("Now: {}.", self.epoch),
            Fault::Date => format!("Today is {}.", self.date),
            Fault::Uuid => format!("The session is {}.", self.uuid),
            Fault::RequestId => format!("Request id: {}.", self.id),
            Fault::Counter => format!("There were {} requests before.", self.counter),
            Fault::UserName => format!("You help {} today.", self.name),
            Fault::Retrieval => self.found.clone(),
            _ => String::new(),
        };
        format!("{first}{} {fact} {}", stable[0], stable[1])
    }
}

/// What stands for the tools in a request that is put together.
const TOOLS: &str = "@tools";

/// A chat as all APIs have it.
struct Chat {
    fault: Fault,
    stable: Vec<String>,
    tools: Vec<(String, String)>,
    /// Question, answer, question, ...
    said: Vec<String>,
    image: String,
}

/// A log of `requests` requests of several sessions, of which a share has the fault.
pub fn log(shape: Shape, fault: Fault, planted_share: f64, requests: usize, seed: u64) -> Vec<Line> {
    let mut random = Rng::with_seed(seed);
    let stable: Vec<String> = (0..2).map(|_| words(&mut random, 120)).collect();
    let tools: Vec<(String, String)> =
        (0..4).map(|i| (format!("tool_{i}"), words(&mut random, 30))).collect();
    let new = |random: &mut Rng| Chat {
        fault,
        stable: stable.clone(),
        tools: tools.clone(),
        said: vec![words(random, 40)],
        image: hex(random, 64),
    };
    let mut sessions: Vec<Chat> = (0..4).map(|_| new(&mut random)).collect();
    let mut lines = Vec::new();
    for number in 0..requests {
        let at = random.usize(..sessions.len());
        let chat = &mut sessions[at];
        // Nothing is lost before there is something to lose.
        let planted = chat.said.len() >= 7 && number > 20 && random.f64() < planted_share;
        lines.push(Line { json: chat.request(shape, planted, &mut random), planted });
        chat.said.extend([words(&mut random, 30), words(&mut random, 20)]);
        if chat.said.len() > 25 {
            *chat = new(&mut random);
        }
    }
    lines
}

impl Chat {
    /// The request for the next answer.
    fn request(&self, shape: Shape, planted: bool, random: &mut Rng) -> String {
        let is = |fault: Fault| planted && self.fault == fault;
        let facts = if planted { Facts::usual().with(self.fault, random) } else { Facts::usual() };
        let mut system = facts.system(&self.stable, self.fault);
        if is(Fault::WhiteSpace) {
            system = system.replacen(' ', "  ", 1);
        }
        let mut said: Vec<String> = self.said.clone();
        if is(Fault::Truncated) {
            said.drain(1..5);
        }
        if is(Fault::Summarised) {
            said.splice(1..4, [format!("In short: {}", words(random, 12))]);
        }
        if is(Fault::Edited) {
            said[2] = format!("I mean {}", words(random, 20));
        }
        let image = if is(Fault::Image) { hex(random, 64) } else { self.image.clone() };
        let mut request = json!({ "model": if is(Fault::Model) { "large" } else { "small" } });
        if is(Fault::Salt) {
            request["cache_salt"] = hex(random, 12).into();
        }
        if is(Fault::Adapter) {
            request["lora_name"] = "legal".into();
        }
        request["tools"] = TOOLS.into();
        let image = (self.fault == Fault::Image).then_some(&*image);
        let messages: Vec<Value> =
            said.iter().enumerate().map(|(i, text)| message(shape, i, text, image)).collect();
        match shape {
            Shape::OpenAi => {
                let first = json!({"role": "system", "content": system});
                request["messages"] = [vec![first], messages].concat().into();
            }
            Shape::Anthropic => {
                request["system"] = json!([{"type": "text", "text": system}]);
                request["messages"] = messages.into();
            }
            Shape::Responses => {
                request["instructions"] = system.into();
                request["input"] = messages.into();
            }
        }
        request.to_string().replace(&json!(TOOLS).to_string(), &self.tools(shape, planted))
    }

    fn tools(&self, shape: Shape, planted: bool) -> String {
        let is = |fault: Fault| planted && self.fault == fault;
        let mut tools = self.tools.clone();
        if is(Fault::ToolOrder) {
            tools.swap(1, 2);
        }
        if is(Fault::ToolMore) {
            tools.insert(1, ("search".into(), self.stable[0].chars().rev().take(200).collect()));
        }
        if is(Fault::ToolLess) {
            tools.remove(1);
        }
        let tool = |(i, (name, text)): (usize, &(String, String))| {
            let (a, b) = text.split_at(text.len() / 2);
            let fields = [("path", a), ("query", b)];
            let keys = if i == 1 && is(Fault::KeyOrder) { [1, 0] } else { [0, 1] };
            // Written as text, for the order of the keys.
            let fields = keys.map(|key| {
                let (name, text) = fields[key];
                format!("{}: {{\"type\": \"string\", \"description\": {}}}", json!(name), json!(text))
            });
            let schema = format!("{{\"type\": \"object\", \"properties\": {{{}}}}}", fields.join(", "));
            let head =
                format!("\"name\": {}, \"description\": {}", json!(name), json!(format!("{name}: {text}")));
            match shape {
                Shape::OpenAi => {
                    format!("{{\"type\": \"function\", \"function\": {{{head}, \"parameters\": {schema}}}}}")
                }
                Shape::Anthropic => format!("{{{head}, \"input_schema\": {schema}}}"),
                Shape::Responses => format!("{{\"type\": \"function\", {head}, \"parameters\": {schema}}}"),
            }
        };
        format!("[{}]", tools.iter().enumerate().map(tool).collect::<Vec<_>>().join(", "))
    }
}

fn message(shape: Shape, at: usize, text: &str, image: Option<&str>) -> Value {
    let role = if at.is_multiple_of(2) { "user" } else { "assistant" };
    let image = image.filter(|_| at == 0);
    let mut parts = Vec::new();
    match shape {
        Shape::OpenAi => {
            let Some(image) = image else { return json!({"role": role, "content": text}) };
            parts.push(
                json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}}),
            );
            parts.push(json!({"type": "text", "text": text}));
        }
        Shape::Anthropic => {
            let source = |data: &str| json!({"type": "base64", "media_type": "image/png", "data": data});
            parts.extend(image.map(|image| json!({"type": "image", "source": source(image)})));
            parts.push(json!({"type": "text", "text": text}));
        }
        Shape::Responses => {
            let kind = if role == "user" { "input_text" } else { "output_text" };
            parts.extend(image.map(|image| json!({"type": "input_image", "image_url": image})));
            parts.push(json!({"type": kind, "text": text}));
        }
    }
    json!({"role": role, "content": parts})
}
