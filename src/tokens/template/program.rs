//! A compiled template.
//!
//! The engine's operators are nearly those of Jinja2. Where they are not (`%` on texts, `~`, `in` and
//! comparisons of some types, loops over `None`, lists for generators), the compiled instruction is replaced by a call of a
//! filter that does as Jinja2 does, or gets one before or behind it. This and the syntax tree need the engine's own parts, which it does not promise to keep: its version is
//! pinned, and no other file but [`content_format`](super::content_format) names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use super::content_format;
use super::iterators::{GENERATORS, TO_GENERATOR, TO_GROUPS};
use super::methods;
use super::python;
use super::source::prepared;
use crate::error::guarded;

/// The filters that stand for operators.
pub(super) const ADDITION: &str = "operator:+";
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

/// The filters that give texts which are marked as safe.
const MARKING: [&str; 4] = ["e", "escape", "forceescape", "safe"];

/// The argument of macros that stands for another one's default, and the function that refuses it.
pub(super) const DEFAULT_OF_ARGUMENT: &str = "macro:default";

/// The filter that stands for `value.name` where the name is one of a method.
pub(super) const ATTRIBUTE: &str = "attribute";

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
        let source = kept(prepared(source)?);
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
    let macros = Macros::of(&list);
    // Few templates mark texts as safe, and all add some.
    let marks =
        list.iter().any(|one| matches!(one, Instruction::ApplyFilter(name, ..) if MARKING.contains(name)));
    let replaced: Vec<Vec<Instruction<'static>>> = list
        .iter()
        .enumerate()
        .map(|(at, one)| match one {
            Instruction::Add if marks => vec![Instruction::ApplyFilter(ADDITION, Some(2), NOT_REMEMBERED)],
            _ => replaced(at, one, &macros),
        })
        .collect();
    // What an instruction becomes may be longer, so that what comes later moves on.
    let mut places = Vec::with_capacity(list.len());
    let mut next = 0;
    for instructions in &replaced {
        places.push(next);
        next += instructions.len() as u32;
    }
    let moved = |target: u32| places.get(target as usize).copied().unwrap_or(next);
    let mut new = Instructions::new(old.name(), old.source());
    for (at, instructions) in (0..).zip(replaced) {
        for mut instruction in instructions {
            match &mut instruction {
                Instruction::Iterate(target)
                | Instruction::Jump(target)
                | Instruction::JumpIfFalse(target)
                | Instruction::JumpIfFalseOrPop(target)
                | Instruction::JumpIfTrueOrPop(target)
                | Instruction::BuildMacro(_, target, _) => *target = moved(*target),
                _ => {}
            }
            match old.get_line(at) {
                Some(line) => new.add_with_line(instruction, line as u16),
                None => new.add(instruction),
            };
        }
    }
    new
}

/// What stands for the instruction at a place.
fn replaced(at: usize, instruction: &Instruction<'static>, macros: &Macros) -> Vec<Instruction<'static>> {
    let filter =
        |name: &'static str, arguments| Instruction::ApplyFilter(name, Some(arguments), NOT_REMEMBERED);
    let same = instruction.clone();
    match instruction {
        Instruction::Lookup(_) => match macros.refused.get(&at) {
            Some(refusal) => vec![Instruction::CallFunction(refusal, Some(0))],
            None => vec![same],
        },
        Instruction::GetClosure => {
            let names = macros.enclosed.get(&at).into_iter().flatten();
            names.map(|name| Instruction::Enclose(name)).chain([same]).collect()
        }
        Instruction::PushLoop(_) => vec![filter(ITERATION, 1), same],
        Instruction::Rem => vec![filter(REMAINDER, 2)],
        Instruction::StringConcat => vec![filter(CONCATENATION, 2)],
        Instruction::In => vec![filter(CONTAINMENT, 2)],
        Instruction::Lt => vec![filter(COMPARISONS[0].0, 2)],
        Instruction::Lte => vec![filter(COMPARISONS[1].0, 2)],
        Instruction::Gt => vec![filter(COMPARISONS[2].0, 2)],
        Instruction::Gte => vec![filter(COMPARISONS[3].0, 2)],
        Instruction::GetAttr(name) if methods::is_method(name) => {
            vec![Instruction::LoadConst(Value::from(*name)), filter(ATTRIBUTE, 2)]
        }
        Instruction::ApplyFilter("groupby", ..) => vec![same, filter(TO_GROUPS, 1)],
        Instruction::ApplyFilter(name, ..) if GENERATORS.contains(name) => {
            vec![same, filter(TO_GENERATOR, 1)]
        }
        _ => vec![same],
    }
}

/// What macros do otherwise in Jinja2, by the places of instructions.
#[derive(Default)]
struct Macros {
    /// Lookups of what only Jinja2 gives them, and the functions to call instead.
    refused: BTreeMap<usize, &'static str>,
    /// Variables from outside that the engine does not find in their bodies.
    enclosed: BTreeMap<usize, BTreeSet<&'static str>>,
}

impl Macros {
    fn of(list: &[&Instruction<'static>]) -> Self {
        let mut all = Self::default();
        for (end, instruction) in list.iter().enumerate() {
            if let Instruction::BuildMacro(_, start, _) = instruction {
                all.add(list, *start as usize, end);
            }
        }
        all
    }

    fn add(&mut self, list: &[&Instruction<'static>], start: usize, end: usize) {
        let body = list.get(start..end).unwrap_or_default();
        let stored = |name: &str| {
            body.iter().position(|one| matches!(one, Instruction::StoreLocal(stored) if *stored == name))
        };
        let arguments: Vec<String> = match list.get(end.wrapping_sub(1)) {
            Some(Instruction::LoadConst(names)) => {
                names.try_iter().into_iter().flatten().map(|name| python::json_text(&name)).collect()
            }
            _ => Vec::new(),
        };
        for (at, instruction) in body.iter().enumerate() {
            let Instruction::Lookup(name) = instruction else { continue };
            let place = stored(name);
            let further = MACRO_ARGUMENTS.iter().find(|(further, _)| further == name);
            if let Some((_, refusal)) = further.filter(|_| place.is_none()) {
                self.refused.insert(start + at, refusal);
            } else if arguments.iter().any(|argument| argument == name)
                && place.is_some_and(|place| at < place)
            {
                self.refused.insert(start + at, DEFAULT_OF_ARGUMENT);
            } else if place.is_none() && !["caller", "loop", "self", "super"].contains(name) {
                self.enclosed.entry(end.wrapping_sub(2)).or_default().insert(name);
            }
        }
    }
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
