//! What a line of prompts is read into, and how it is to be read.

/// How prompts are found in lines.
#[derive(Clone, Debug, Default)]
pub struct PromptOptions {
    /// The field that holds the prompt, as a dotted path (`payload.messages`); otherwise it is found
    /// by its name.
    pub field: Option<String>,
    /// Each line is a prompt as it stands, not JSON.
    pub text: bool,
    /// Which requests a chat stands for.
    pub turns: Turns,
    /// Names of the fields to hand on unchanged.
    pub keep: Vec<String>,
    /// Whether chats are kept as they stood, for a template that may use all of a message.
    pub raw_chats: bool,
    /// Where the arrival time is, as a dotted path, in place of `timestamp`.
    pub timestamp_field: Option<String>,
    /// Where the output's length or text is, as a dotted path, in place of the usual names.
    pub output_field: Option<String>,
}

/// Which requests a chat stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// One for each assistant turn: the prompt is everything before that turn, and the output is the
    /// turn. A chat without assistant turns is one request, whose prompt is the whole chat.
    #[default]
    Each,
    /// One for the whole chat. Where it ends with an assistant turn, that turn is the output and
    /// everything before it the prompt.
    Last,
}

/// The prompts of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One request per text.
    Texts(Vec<String>),
    /// One request per list of token ids.
    Tokens(Vec<Vec<u32>>),
    /// The requests of a chat.
    Chat(Chat),
}

/// A chat and the places in it where the assistant was asked to speak.
///
/// The turns are kept apart and stand here once, although each request's prompt begins with the
/// prompt of the one before: the growing past can so be rendered and tokenised a turn at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// All turns, the oldest first.
    pub turns: Vec<Turn>,
    /// One request per entry: its prompt is the turns before this index (and the template's
    /// invitation to answer). Rising; at most `turns.len()`.
    pub requests: Vec<usize>,
    /// The chat as it stood, if that was asked for.
    pub source: Option<Box<ChatSource>>,
}

/// A chat as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatSource {
    /// An object for each turn, with at least `role` and `content`.
    pub messages: Vec<String>,
    /// The list of tools that the model may call.
    pub tools: Option<String>,
    /// Further arguments for the template, an object (`chat_template_kwargs`).
    pub arguments: Option<String>,
}

impl Chat {
    /// The recorded output of the request that starts before turn `request` (an entry of
    /// [`Chat::requests`]), or nothing where the chat ends there unanswered.
    pub fn answer(&self, request: usize) -> Option<&str> {
        self.turns.get(request).map(|turn| turn.text.as_str())
    }

    /// Whether the chat ends with a question, which is no request though earlier answers are: as
    /// the bodies of a log of requests do.
    pub fn ends_unanswered(&self) -> bool {
        self.requests.last().is_some_and(|&last| last + 1 < self.turns.len())
    }

    /// The chat of `turns` and the requests that it stands for.
    pub(super) fn new(turns: Vec<Turn>, choice: Turns, source: Option<Box<ChatSource>>) -> Self {
        let mut requests: Vec<usize> = (0..turns.len()).filter(|&i| turns[i].role == "assistant").collect();
        match (choice, requests.last()) {
            (Turns::Each, Some(_)) => {}
            (Turns::Last, Some(&last)) if last + 1 == turns.len() => requests = vec![last],
            _ => requests = vec![turns.len()],
        }
        Self { turns, requests, source }
    }
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks: `system`, `user`, `assistant`, or any other name as it stood.
    pub role: String,
    /// What is said.
    pub text: String,
}

/// The length of a request's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputLength {
    /// In tokens.
    Known(u64),
    /// As long as this text, whose tokens are to be counted.
    Text(String),
    /// The record does not say.
    Unknown,
}
