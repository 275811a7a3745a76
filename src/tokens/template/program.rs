//! A compiled template.
//!
//! The engine's operators are nearly those of Jinja2. Where they are not (`%` on texts, `~`, `in` and
//! comparisons of some types, loops over `None`), the compiled instruction is replaced by a call of a filter that does as
//! Jinja2 does, or gets one before it. This and the syntax tree need the engine's own parts, which it does not promise to keep: its version is
//! pinned, and no other file but [`content_format`](super::content_format) names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use super::content_format;
use crate::error::guarded;

/// The filters that stand for operators.
pub(super) const REMAINDER: &str = "operator:%";
pub(super) const CONCATENATION: &str = "operator:~";
pub(super) const CONTAINMENT: &str = "operator:in";
/// The filters that compare values, and whether the left one is to be less, and may be equal.
pub(super) const COMPARISONS: [(&str, bool, bool); 4] = [
    ("operator:<", true, false),
    ("operator:<=", true, true),
    ("operator:>", false, false),
    ("operator:>=", false, true),
];
/// Refuses what no loop can run over.
pub(super) const ITERATION: &str = "operator:for";

/// What macros may name without declaring it, their further arguments, and the functions that refuse to give them.
pub(super) const MACRO_ARGUMENTS: [(&str, &str); 2] =
    [("varargs", "macro:varargs"), ("kwargs", "macro:kwargs")];

/// The methods of objects, and the filters that stand for `value.method` where that is not called.
pub(super) const ATTRIBUTES: [(&str, &str); 5] = [
    ("items", "attribute:items"),
    ("keys", "attribute:keys"),
    ("values", "attribute:values"),
    ("get", "attribute:get"),
    ("copy", "attribute:copy"),
];

/// The methods of texts that templates may look for before they call them (`content.split is defined`), and
/// their filters.
pub(super) const TEXT_ATTRIBUTES: [(&str, &str); 10] = [
    ("split", "attribute:split"),
    ("rsplit", "attribute:rsplit"),
    ("strip", "attribute:strip"),
    ("lstrip", "attribute:lstrip"),
    ("rstrip", "attribute:rstrip"),
    ("startswith", "attribute:startswith"),
    ("endswith", "attribute:endswith"),
    ("replace", "attribute:replace"),
    ("lower", "attribute:lower"),
    ("upper", "attribute:upper"),
];

/// No place in the engine's table of filters that were looked up before.
const NOT_REMEMBERED: u8 = u8::MAX;

/// A template, ready to run.
pub(super) struct Program {
    instructions: Instructions<'static>,
    blocks: BTreeMap<&'static str, Instructions<'static>>,
    /// Whether it wants content as a list of parts.
    pub(super) wants_parts: bool,
    /// Whether it knows the role `developer`.
    pub(super) knows_developer: bool,
    /// The text of the template.
    pub(super) source: &'static str,
}

impl Program {
    /// Compiles a template.
    pub(super) fn compile(source: &str) -> Result<Self, Error> {
        unharmed(|| Self::compiled(source))
    }

    fn compiled(source: &str) -> Result<Self, Error> {
        let source = kept(prepared(source));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        let tree = parse(source, "chat template", syntax)?;
        let wants_parts = content_format::wants_parts(&tree);
        let mut generator = CodeGenerator::new("chat template", source);
        generator.compile_stmt(&tree);
        let (instructions, blocks) = generator.finish();
        let instructions = adapted(&instructions);
        let blocks = blocks.into_iter().map(|(name, block)| (name, adapted(&block))).collect();
        let knows_developer = ["\"developer\"", "'developer'"].iter().any(|name| source.contains(name));
        Ok(Self { instructions, blocks, wants_parts, knows_developer, source })
    }

    /// The text that the template makes of these variables.
    pub(super) fn run(&self, environment: &Environment<'static>, variables: Value) -> Result<String, Error> {
        let mut text = String::new();
        unharmed(|| {
            let mut out = make_string_output(&mut text);
            eval(environment, &self.instructions, variables, &self.blocks, &mut out, AutoEscape::None)
        })?;
        Ok(text)
    }
}

/// What the engine's own code gives; a panic in it is an error as others are.
fn unharmed<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let failed = || Err(Error::new(ErrorKind::InvalidOperation, "the library that runs templates failed"));
    guarded(work).unwrap_or_else(failed)
}

/// The text for as long as the process runs: instructions refer to it. A process reads few templates, and
/// equal ones are kept once.
fn kept(text: String) -> &'static str {
    static KEPT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(text.as_str()) {
        return known;
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    kept.insert(text);
    text
}

/// The instructions with calls of filters for what behaves otherwise in Jinja2.
fn adapted(old: &Instructions<'static>) -> Instructions<'static> {
    let list: Vec<&Instruction<'static>> = (0..).map_while(|at| old.get(at)).collect();
    // Each loop gets an instruction before it, so that what comes later moves on.
    let mut places = Vec::with_capacity(list.len());
    let mut next = 0;
    for instruction in &list {
        places.push(next);
        next += if matches!(instruction, Instruction::PushLoop(_)) { 2 } else { 1 };
    }
    let moved = |target: u32| places.get(target as usize).copied().unwrap_or(next);
    let attribute =
        |name: &str| ATTRIBUTES.iter().chain(&TEXT_ATTRIBUTES).find(|(method, _)| *method == name);
    let filter =
        |name: &'static str, arguments| Instruction::ApplyFilter(name, Some(arguments), NOT_REMEMBERED);
    let further = further_arguments(&list);
    let mut new = Instructions::new(old.name(), old.source());
    for (at, instruction) in (0..).zip(list) {
        let mut add = |instruction| match old.get_line(at) {
            Some(line) => new.add_with_line(instruction, line as u16),
            None => new.add(instruction),
        };
        let mut instruction = instruction.clone();
        match &mut instruction {
            Instruction::Lookup(_) => {
                if let Some(refusal) = further.get(&at) {
                    instruction = Instruction::CallFunction(refusal, Some(0));
                }
            }
            Instruction::PushLoop(_) => {
                add(filter(ITERATION, 1));
            }
            Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _) => *target = moved(*target),
            Instruction::Rem => instruction = filter(REMAINDER, 2),
            Instruction::StringConcat => instruction = filter(CONCATENATION, 2),
            Instruction::In => instruction = filter(CONTAINMENT, 2),
            Instruction::Lt => instruction = filter(COMPARISONS[0].0, 2),
            Instruction::Lte => instruction = filter(COMPARISONS[1].0, 2),
            Instruction::Gt => instruction = filter(COMPARISONS[2].0, 2),
            Instruction::Gte => instruction = filter(COMPARISONS[3].0, 2),
            Instruction::GetAttr(name) => {
                if let Some((_, method)) = attribute(name) {
                    instruction = filter(method, 1);
                }
            }
            _ => {}
        }
        add(instruction);
    }
    new
}

/// Where macros look up what only Jinja2 gives them, and the functions to call instead.
fn further_arguments(list: &[&Instruction<'static>]) -> BTreeMap<u32, &'static str> {
    let mut found = BTreeMap::new();
    for (end, instruction) in list.iter().enumerate() {
        let Instruction::BuildMacro(_, start, _) = instruction else { continue };
        let body = list.get(*start as usize..end).unwrap_or_default();
        for (name, refusal) in MACRO_ARGUMENTS {
            if body.iter().any(|one| matches!(one, Instruction::StoreLocal(stored) if *stored == name)) {
                continue;
            }
            let places = (*start..).zip(body);
            let looks = |one: &Instruction<'_>| matches!(one, Instruction::Lookup(known) if *known == name);
            found.extend(places.filter(|(_, one)| looks(one)).map(|(at, _)| (at, refusal)));
        }
    }
    found
}

/// The template as the engine reads it: line ends are newlines, as they are to Jinja2, and the tags
/// `generation` and `endgeneration` of transformers, which only mark the assistant's text, open and close a
/// scope of variables.
fn prepared(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let end = tag.find("%}").unwrap_or(tag.len());
        let name = tag[..end].trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let replaced = match name {
            "generation" => "with",
            "endgeneration" => "endwith",
            other => other,
        };
        out.push_str(&tag[..end].replacen(name, replaced, usize::from(!name.is_empty())));
        rest = &tag[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_template_is_an_error_of_its_record() {
        let program = Program::compile("{{ fails() }}").unwrap();
        let mut environment = Environment::new();
        environment.add_function("fails", || -> String { panic!("planted") });
        let error = program.run(&environment, Value::from(())).unwrap_err();
        assert_eq!(error.detail(), Some("the library that runs templates failed"));
    }
}
