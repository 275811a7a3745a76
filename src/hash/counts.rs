//! What is remarkable about the records of an input.

use crate::record::prompt::{Remarks, Turns};

/// What the user is told at the end: how many records or requests there were of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Chats with answers in them that were taken as one request.
    pub taken_as_requests: u64,
    /// Chats with answers in them that were taken as a request per answer.
    pub taken_as_chats: u64,
    /// Chats that were taken otherwise than they look, since the first one decides.
    pub look_otherwise: u64,
    /// Chats whose last question has not become a request.
    pub unanswered: u64,
    /// Answers at the start of a chat, which have not become requests.
    pub unasked: u64,
    /// Parts of messages for whose text something else stands, such as images.
    pub stand_ins: u64,
    /// Records with images and the like that are not in the ids.
    pub without_features: u64,
    /// Records with earlier turns that only the server has.
    pub continued: u64,
    /// Calls that have failed.
    pub failed: u64,
    /// Chats in the default template although the tokenizer belongs to a model.
    pub without_template: u64,
    /// Chats in the default template with documents beside the messages, which it leaves out.
    pub without_documents: u64,
    /// Requests whose output length is the greatest that was allowed.
    pub limits: u64,
    /// Requests without an output length.
    pub without_output: u64,
    /// Requests without a time.
    pub without_time: u64,
    /// Requests whose answer was to be hashed and is not known.
    pub without_answer: u64,
    /// The same where a server reports another number of tokens than the answer has.
    pub unlike_answers: u64,
    /// Tokens that servers counted in prompts.
    pub recorded_tokens: u128,
    /// Tokens that were hashed of the same prompts.
    pub hashed_tokens: u128,
}

impl Counts {
    /// Adds what a record was read with.
    pub(super) fn add(&mut self, remarks: &Remarks) {
        self.taken_as_requests += u64::from(remarks.turns == Some(Turns::Last));
        self.taken_as_chats += u64::from(remarks.turns == Some(Turns::Each));
        self.look_otherwise += u64::from(remarks.looks_otherwise);
        self.unanswered += u64::from(remarks.unanswered);
        self.without_features += remarks.unplaced;
        self.continued += u64::from(remarks.continued);
        self.failed += remarks.failed;
        self.stand_ins += remarks.stand_ins;
        self.unasked += remarks.unasked;
    }

    /// Adds those of other records.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.taken_as_requests += other.taken_as_requests;
        self.taken_as_chats += other.taken_as_chats;
        self.look_otherwise += other.look_otherwise;
        self.unanswered += other.unanswered;
        self.stand_ins += other.stand_ins;
        self.without_features += other.without_features;
        self.continued += other.continued;
        self.failed += other.failed;
        self.limits += other.limits;
        self.without_output += other.without_output;
        self.without_time += other.without_time;
        self.without_template += other.without_template;
        self.without_documents += other.without_documents;
        self.unasked += other.unasked;
        self.without_answer += other.without_answer;
        self.unlike_answers += other.unlike_answers;
        self.recorded_tokens += other.recorded_tokens;
        self.hashed_tokens += other.hashed_tokens;
    }

    /// Notes how many tokens the server counted in a prompt of which so many were hashed.
    pub(super) fn compare(&mut self, recorded: u64, hashed: u64) {
        self.recorded_tokens += u128::from(recorded);
        self.hashed_tokens += u128::from(hashed);
    }
}
