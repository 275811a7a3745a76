//! Whether a template walks over the parts of a message's content or takes it as one string.
//!
//! vLLM finds this out from the template's syntax tree, and so does this: the template wants parts if a loop
//! runs over the `content` of a message, where a message is what a loop over `messages` (or over another
//! name for it) yields; or over a parameter that a macro is given such a content for; or, outside macros,
//! over a variable named `content`. Filters, tests and slices on the way do not matter.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Call, CallArg, Expr, ForLoop, Macro, Stmt};

/// Whether the template wants parts.
pub(super) fn wants_parts(root: &Stmt<'_>) -> bool {
    let mut tree = Tree::default();
    tree.statement(root, &mut Vec::new());
    let lists = tree.names_of_messages();
    let messages: Vec<&str> = tree
        .loops
        .iter()
        .filter(|(each, _)| lists.iter().any(|name| is_name(bare(&each.iter), name)))
        .filter_map(|(each, _)| variable(&each.target))
        .collect();
    let is_content =
        |expr: &Expr<'_>| messages.iter().any(|message| is_field(bare(expr), message, "content"));
    let parameters: Vec<BTreeSet<&str>> =
        tree.macros.iter().map(|makro| tree.content_parameters(makro, &is_content)).collect();
    tree.loops.iter().any(|(each, macros)| {
        let over = variable(&each.iter);
        is_content(&each.iter)
            || over.is_some_and(|name| macros.iter().any(|&makro| parameters[makro].contains(name)))
            || macros.is_empty() && over == Some("content")
    })
}

/// What matters of a template.
#[derive(Default)]
struct Tree<'t> {
    /// Loops, each with the macros that it stands in.
    loops: Vec<(&'t ForLoop<'t>, Vec<usize>)>,
    macros: Vec<&'t Macro<'t>>,
    calls: Vec<&'t Call<'t>>,
    assignments: Vec<(&'t Expr<'t>, &'t Expr<'t>)>,
}

impl<'t> Tree<'t> {
    /// The variables and fields of namespaces that hold the messages.
    fn names_of_messages(&self) -> Vec<String> {
        let mut names = vec!["messages".to_owned()];
        let mut done = 0;
        while let Some(name) = names.get(done).cloned() {
            done += 1;
            for &(target, value) in &self.assignments {
                let mut found = Vec::new();
                if is_name(bare(value), &name) {
                    found.extend(dotted(target));
                }
                if let (Some(space), Expr::Call(call)) = (variable(target), value)
                    && variable(&call.expr) == Some("namespace")
                {
                    found.extend(call.args.iter().filter_map(|argument| match argument {
                        CallArg::Kwarg(key, value) if is_name(bare(value), &name) => {
                            Some(format!("{space}.{key}"))
                        }
                        _ => None,
                    }));
                }
                names.extend(found.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
            }
        }
        names
    }

    /// The parameters of a macro that a call gives the content of a message for.
    fn content_parameters(
        &self,
        makro: &'t Macro<'t>,
        is_content: &dyn Fn(&Expr<'_>) -> bool,
    ) -> BTreeSet<&'t str> {
        let mut found = BTreeSet::new();
        for call in self.calls.iter().filter(|call| variable(&call.expr) == Some(makro.name)) {
            for (index, argument) in call.args.iter().enumerate() {
                match argument {
                    CallArg::Pos(value) if is_content(value) => {
                        found.extend(makro.args.get(index).and_then(variable));
                    }
                    CallArg::Kwarg(key, value) if is_content(value) => {
                        found.insert(*key);
                    }
                    _ => {}
                }
            }
        }
        found
    }

    fn statements(&mut self, body: &'t [Stmt<'t>], macros: &mut Vec<usize>) {
        body.iter().for_each(|statement| self.statement(statement, macros));
    }

    fn statement(&mut self, statement: &'t Stmt<'t>, macros: &mut Vec<usize>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children, macros),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => {
                self.loops.push((each, macros.clone()));
                self.expression(&each.iter);
                each.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.statements(&each.body, macros);
                self.statements(&each.else_body, macros);
            }
            Stmt::IfCond(branch) => {
                self.expression(&branch.expr);
                self.statements(&branch.true_body, macros);
                self.statements(&branch.false_body, macros);
            }
            Stmt::WithBlock(with) => {
                with.assignments.iter().for_each(|(_, value)| self.expression(value));
                self.statements(&with.body, macros);
            }
            Stmt::Set(set) => {
                self.assignments.push((&set.target, &set.expr));
                self.expression(&set.expr);
            }
            Stmt::SetBlock(set) => self.statements(&set.body, macros),
            Stmt::AutoEscape(block) => self.statements(&block.body, macros),
            Stmt::FilterBlock(block) => self.statements(&block.body, macros),
            Stmt::Block(block) => self.statements(&block.body, macros),
            Stmt::Macro(makro) => self.makro(makro, macros),
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.statements(&block.macro_decl.body, macros);
            }
            Stmt::Do(call) => self.call(&call.call),
            _ => {}
        }
    }

    fn makro(&mut self, makro: &'t Macro<'t>, macros: &mut Vec<usize>) {
        macros.push(self.macros.len());
        self.macros.push(makro);
        makro.defaults.iter().for_each(|value| self.expression(value));
        self.statements(&makro.body, macros);
        macros.pop();
    }

    fn call(&mut self, call: &'t Call<'t>) {
        self.calls.push(call);
        self.expression(&call.expr);
        self.arguments(&call.args);
    }

    fn arguments(&mut self, arguments: &'t [CallArg<'t>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    /// Looks for calls.
    fn expression(&mut self, expr: &'t Expr<'t>) {
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                let ends = [&slice.start, &slice.stop, &slice.step].into_iter().flatten();
                std::iter::once(&slice.expr).chain(ends).for_each(|expr| self.expression(expr));
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::BinOp(operation) => {
                self.expression(&operation.left);
                self.expression(&operation.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|operation| self.expression(&operation.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|expr| self.expression(expr));
            }
            Expr::Filter(filter) => {
                filter.expr.iter().for_each(|expr| self.expression(expr));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(get) => self.expression(&get.expr),
            Expr::GetItem(get) => {
                self.expression(&get.expr);
                self.expression(&get.subscript_expr);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|expr| self.expression(expr)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|expr| self.expression(expr)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|expr| self.expression(expr)),
        }
    }
}

/// The expression without filters, tests and slices around it.
fn bare<'e, 's>(expr: &'e Expr<'s>) -> &'e Expr<'s> {
    match expr {
        Expr::Filter(filter) => filter.expr.as_ref().map_or(expr, bare),
        Expr::Test(test) => bare(&test.expr),
        Expr::Slice(slice) => bare(&slice.expr),
        _ => expr,
    }
}

fn variable<'s>(expr: &Expr<'s>) -> Option<&'s str> {
    match expr {
        Expr::Var(name) => Some(name.id),
        _ => None,
    }
}

/// `a.b.c` as a text.
fn dotted(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(name) => Some(name.id.to_owned()),
        Expr::GetAttr(get) => Some(format!("{}.{}", dotted(&get.expr)?, get.name)),
        _ => None,
    }
}

fn is_name(expr: &Expr<'_>, name: &str) -> bool {
    dotted(expr).is_some_and(|found| found == name)
}

/// Whether the expression is `variable.name` or `variable["name"]`.
fn is_field(expr: &Expr<'_>, variable: &str, name: &str) -> bool {
    match expr {
        Expr::GetAttr(get) => get.name == name && self::variable(&get.expr) == Some(variable),
        Expr::GetItem(get) => {
            let key = matches!(&get.subscript_expr, Expr::Const(key) if key.value.as_str() == Some(name));
            key && self::variable(&get.expr) == Some(variable)
        }
        _ => false,
    }
}
