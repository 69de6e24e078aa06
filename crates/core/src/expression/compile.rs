//! From the text of an expression to its term. What can never work is refused here, with its place.
//!
//! The language is the part of CEL that decides by attributes:
//!
//! - literals, lists, maps; `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `&&`, `||`, `!`, `?:`, `+`, `-`, `*`, `%`, indexes
//! - `has(item.a)`, and `"a" in item` for names that are no identifiers; `item["a"]` to take one
//! - the macros `all`, `exists`, `exists_one`, `map` and `filter`
//! - `size`, `startsWith`, `endsWith`, `contains`, `lowerAscii`, `upperAscii`, and `decimal("...")` for numbers that
//!   no literal of CEL can hold
//!
//! There is no division, because `DynamoDB` does not tell whole numbers from fractions, and CEL divides them
//! differently; no regular expressions and no time. Attributes are named in the text, never computed, so that
//! [`Expression::needs`] knows all of them.
//! The language of CEL: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use crate::{
    expression::{
        evaluate::holds_of,
        failed::Failed,
        subject::Subject,
        term::{Fold, Function, Term},
    },
    item::{Item, Number, Value},
};

/// How deep terms may lie within each other.
const DEPTH_MAX: usize = 100;
/// The longest text, in bytes.
pub(super) const TEXT_MAX: usize = 8000;
/// Brackets within brackets, and operators in all. The parser calls itself for each of them, and about twice as many
/// brackets overflow the stack of a thread, 2 MiB.
pub(super) const NESTED_MAX: usize = 8;
pub(super) const CHAINED_MAX: usize = 400;

/// A condition on records. It is cheap to clone.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    subject: Subject,
    needs: Arc<BTreeSet<String>>,
    term: Arc<Term>,
}

impl Expression {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it looks at.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The attributes of the record that can decide its answer.
    pub fn needs(&self) -> &BTreeSet<String> {
        &self.needs
    }

    /// Whether a record fulfils the condition.
    ///
    /// # Errors
    ///
    /// Why that cannot be said of this record. It does not mean `false`.
    pub fn holds_of(&self, record: &Item) -> Result<bool, Failed> {
        holds_of(&self.term, record)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.subject == other.subject
    }
}

impl Eq for Expression {}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadExpression {
    /// The place in the text, in bytes; `None` for the whole of it.
    pub at: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

/// Compiles a condition on records of one of these subjects.
///
/// # Errors
///
/// Everything that is wrong with it; at least one.
pub fn compile(text: &str, subjects: &[Subject]) -> Result<Expression, Vec<BadExpression>> {
    fits(text).map_err(|bad| vec![bad])?;
    let program = cel::Program::compile(text).map_err(|errors| {
        let errors = errors.errors.iter().map(|error| syntax(text, error.pos, &error.msg));
        let mut errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            errors.push(syntax(text, (1, 1), "it cannot be read"));
        }
        errors
    })?;
    let references = program.references();
    let subject = subjects.iter().find(|subject| references.has_variable(subject.name()));
    let Some(subject) = subject.copied() else {
        return Err(vec![looks_at_nothing(&references.variables(), subjects)]);
    };
    let mut compiler =
        Compiler { text, program: &program, subject, variables: Vec::new(), needs: BTreeSet::new(), depth: 0 };
    let term = compiler.term(program.expression()).map_err(|bad| vec![bad])?;
    Ok(Expression { text: text.trim().into(), subject, needs: Arc::new(compiler.needs), term: Arc::new(term) })
}

/// Refuses what the parser would need too much stack for.
fn fits(text: &str) -> Result<(), BadExpression> {
    let bad = |at, message: String, mend: &str| Err(BadExpression { at, message, mend: mend.to_owned() });
    if text.len() > TEXT_MAX {
        return bad(None, format!("an expression has at most {TEXT_MAX} bytes"), "write it shorter");
    }
    let (mut nested, mut chained, mut quote, mut before) = (0usize, 0usize, None, ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            // An escaped quote ends nothing, and an escaped backslash escapes nothing.
            (Some(_), _) if before == '\\' => before = ' ',
            (Some(open), _) => {
                quote = quote.filter(|_| open != c);
                before = c;
            }
            (None, '"' | '\'') => (quote, before) = (Some(c), ' '),
            (None, '(' | '[' | '{') => nested += 1,
            (None, ')' | ']' | '}') => nested = nested.saturating_sub(1),
            _ => {}
        }
        let is_operator = quote.is_none() && !c.is_alphanumeric() && !c.is_whitespace() && !",_)]}'\"".contains(c);
        chained += usize::from(is_operator);
        if nested > NESTED_MAX {
            return bad(
                Some(at),
                "the expression is nested too deep".to_owned(),
                "write it flatter, with `in [...]` for example",
            );
        }
        if chained > CHAINED_MAX {
            return bad(
                Some(at),
                "the expression has too many operators".to_owned(),
                "write it shorter, with `in [...]` for example",
            );
        }
    }
    Ok(())
}

fn syntax(text: &str, at: (isize, isize), message: &str) -> BadExpression {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).replace('\n', " ");
    // The rest is the parser's whole list of tokens.
    let message = message.split(" expecting ").next().unwrap_or_default();
    let message = message.replace("mismatched input '<EOF>'", "it ends too early");
    let (at, mend) = (offset(text, at), "write a CEL expression, such as item.country == \"IN\"".to_owned());
    let mend = match message.as_str() {
        "invalid int literal" | "invalid uint literal" => "write it as decimal(\"...\")".to_owned(),
        _ => mend,
    };
    BadExpression { at: Some(at), message: format!("this is no expression: {message}"), mend }
}

/// The byte offset of a line and column, both from 1.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line).unwrap_or(0), usize::try_from(column).unwrap_or(0));
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    before + byte_of(rest, column.saturating_sub(1))
}

/// The byte offset of a character, by its number.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

fn looks_at_nothing(variables: &[&str], subjects: &[Subject]) -> BadExpression {
    let names = subjects.iter().map(|subject| subject.name()).collect::<Vec<_>>().join("` or `");
    let mend = match variables.iter().min() {
        None => format!("write a condition on `{names}`"),
        Some(first) => {
            let distance = |subject: &&Subject| strsim::damerau_levenshtein(subject.name(), first);
            match subjects.iter().min_by_key(distance).filter(|subject| distance(subject) <= 2) {
                Some(meant) => format!("did you mean `{meant}` in place of `{first}`?"),
                None => format!("`{first}` is not known here; write a condition on `{names}`"),
            }
        }
    };
    BadExpression { at: None, message: format!("the expression does not look at `{names}`"), mend }
}

struct Compiler<'t> {
    text: &'t str,
    program: &'t cel::Program,
    subject: Subject,
    /// The names of the variables of macros, outermost first.
    variables: Vec<String>,
    needs: BTreeSet<String>,
    depth: usize,
}

impl Compiler<'_> {
    fn bad<T>(&self, at: &IdedExpr, message: impl Into<String>, mend: impl Into<String>) -> Result<T, BadExpression> {
        let start = self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start);
        let at = byte_of(self.text, usize::try_from(start).unwrap_or(0));
        Err(BadExpression { at: Some(at), message: message.into(), mend: mend.into() })
    }

    fn term(&mut self, of: &IdedExpr) -> Result<Term, BadExpression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.bad(of, "the expression is nested too deep", "write it flatter, with `in [...]` for example");
        }
        let term = match &of.expr {
            Expr::Literal(literal) => Term::Literal(self.literal(of, literal)?),
            Expr::Ident(name) => self.variable(of, name)?,
            Expr::Select(select) => {
                let field = select.field.clone();
                match (self.is_record(&select.operand), select.test) {
                    (true, true) => Term::HasAttribute(self.attribute(of, field)?),
                    (true, false) => Term::Attribute(self.attribute(of, field)?),
                    (false, true) => Term::HasEntry(Box::new(self.term(&select.operand)?), field),
                    (false, false) => Term::Entry(Box::new(self.term(&select.operand)?), field),
                }
            }
            Expr::List(list) => literal_list(self.terms(&list.elements)?),
            Expr::Map(map) => {
                let mut entries = BTreeMap::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    let Expr::Literal(LiteralValue::String(name)) = &entry.key.expr else {
                        return self.bad(&entry.key, "the names in a map are texts", "write them in quotes");
                    };
                    let value = self.term(&entry.value)?;
                    if entries.insert(name.inner().to_owned(), value).is_some() {
                        return self.bad(&entry.key, "the map has this name already", "leave one of them out");
                    }
                }
                Term::Map(entries)
            }
            Expr::Call(call) => self.call(of, call)?,
            Expr::Comprehension(fold) => self.fold(fold)?,
            Expr::Struct(_) | Expr::Unspecified => {
                return self.bad(of, "messages are not known here", "use a map: {\"name\": value}");
            }
        };
        self.depth -= 1;
        Ok(term)
    }

    fn terms(&mut self, of: &[IdedExpr]) -> Result<Vec<Term>, BadExpression> {
        of.iter().map(|one| self.term(one)).collect()
    }

    fn is_record(&self, of: &IdedExpr) -> bool {
        let is = |name: &str| name == self.subject.name() && !self.variables.iter().any(|variable| variable == name);
        matches!(&of.expr, Expr::Ident(name) if is(name))
    }

    /// Takes note of an attribute of the record.
    fn attribute(&mut self, of: &IdedExpr, name: String) -> Result<String, BadExpression> {
        if let Some(known) = self.subject.attributes()
            && !known.contains(&name.as_str())
        {
            let subject = self.subject;
            let mend = match known.iter().find(|known| strsim::damerau_levenshtein(known, &name) <= 2) {
                Some(meant) => format!("did you mean {subject}.{meant}?"),
                None => format!("an {subject} has {}", known.join(", ")),
            };
            return self.bad(of, format!("an {subject} has no {name:?}"), mend);
        }
        self.needs.insert(name.clone());
        Ok(name)
    }

    fn variable(&self, of: &IdedExpr, name: &str) -> Result<Term, BadExpression> {
        if let Some(index) = self.variables.iter().rposition(|variable| variable == name) {
            return Ok(Term::Variable(index));
        }
        let subject = self.subject;
        if self.is_record(of) {
            let mend = format!("name an attribute: {subject}.name, {subject}[\"name\"], or \"name\" in {subject}");
            return self.bad(of, format!("`{subject}` as a whole cannot be used"), mend);
        }
        let mend = match name {
            "item" | "object" => format!("the records here are seen as `{subject}`"),
            _ => format!("write {subject}.{name} for an attribute, or quotes around a text"),
        };
        self.bad(of, format!("`{name}` is not known here"), mend)
    }

    fn literal(&self, of: &IdedExpr, literal: &LiteralValue) -> Result<Value, BadExpression> {
        Ok(match literal {
            LiteralValue::Boolean(is) => Value::Bool(*is.inner()),
            LiteralValue::Bytes(bytes) => Value::Binary(bytes.inner().to_vec().into()),
            LiteralValue::String(text) => Value::Text(text.inner().to_owned()),
            LiteralValue::Null => Value::Null,
            LiteralValue::Int(int) => self.number(of, &int.inner().to_string())?,
            LiteralValue::UInt(int) => self.number(of, &int.inner().to_string())?,
            LiteralValue::Double(double) => self.number(of, &self.double(of, *double.inner()))?,
        })
    }

    /// The digits of a literal as they are written: the parser's `f64` has rounded them.
    fn double(&self, of: &IdedExpr, rounded: f64) -> String {
        let written = self.program.source_info().offset_for(of.id).and_then(|(start, stop)| {
            let byte = |at: u32| usize::try_from(at).ok().map(|at| byte_of(self.text, at));
            let written = self.text.get(byte(start)?..byte(stop.checked_add(1)?)?)?;
            let same = written.parse::<f64>().is_ok_and(|same| same.to_bits() == rounded.abs().to_bits());
            same.then(|| format!("{}{written}", if rounded.is_sign_negative() { "-" } else { "" }))
        });
        // Without its text: digits that no `f64` can hold make it too precise, so it is refused.
        written.unwrap_or_else(|| format!("{rounded:.60}"))
    }

    fn number(&self, of: &IdedExpr, text: &str) -> Result<Value, BadExpression> {
        match text.parse::<Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(error) => self.bad(of, error.to_string(), "write it as decimal(\"...\"), with at most 38 digits"),
        }
    }

    fn call(&mut self, of: &IdedExpr, call: &CallExpr) -> Result<Term, BadExpression> {
        let (name, args) = (call.func_name.as_str(), &call.args);
        let boxed = |term| Box::new(term);
        match (name, args.as_slice()) {
            (operators::LOGICAL_NOT, [a]) => return Ok(Term::Not(boxed(self.term(a)?))),
            (operators::NOT_STRICTLY_FALSE, [a]) => return self.term(a),
            (operators::LOGICAL_AND, [a, b]) => return Ok(Term::And(boxed(self.term(a)?), boxed(self.term(b)?))),
            (operators::LOGICAL_OR, [a, b]) => return Ok(Term::Or(boxed(self.term(a)?), boxed(self.term(b)?))),
            (operators::CONDITIONAL, [a, b, c]) => {
                return Ok(Term::If(Box::new([self.term(a)?, self.term(b)?, self.term(c)?])));
            }
            (operators::INDEX, [record, at]) if self.is_record(record) => {
                let name = self.literal_name(at)?;
                return Ok(Term::Attribute(self.attribute(of, name)?));
            }
            (operators::IN, [at, record]) if self.is_record(record) => {
                let name = self.literal_name(at)?;
                return Ok(Term::HasAttribute(self.attribute(of, name)?));
            }
            (operators::DIVIDE, _) => {
                let message = "there is no division: CEL divides whole numbers otherwise than fractions, and a table \
                               does not tell them apart";
                return self.bad(of, message, "multiply the other side, or use %");
            }
            _ => {}
        }
        let all: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(args).collect();
        let Some(function) = function(name, all.len(), call.target.is_some()) else {
            let shown = name.trim_start_matches('@').trim_matches('_');
            let mend = "there are size(), startsWith(), endsWith(), contains(), lowerAscii(), upperAscii(), \
                        decimal(\"...\"), and the macros has, all, exists, exists_one, map and filter";
            return self.bad(of, format!("there is no {shown:?} with these arguments"), mend);
        };
        let terms = all.into_iter().map(|one| self.term(one)).collect::<Result<_, _>>()?;
        Ok(Term::Call(function, terms))
    }

    fn literal_name(&self, at: &IdedExpr) -> Result<String, BadExpression> {
        match &at.expr {
            Expr::Literal(LiteralValue::String(name)) => Ok(name.inner().to_owned()),
            _ => self.bad(at, "the names of attributes cannot be computed", "write the name in quotes"),
        }
    }

    fn fold(&mut self, fold: &ComprehensionExpr) -> Result<Term, BadExpression> {
        if self.is_record(&fold.iter_range) || fold.iter_var2.is_some() {
            let message = format!("a macro goes over lists, sets and maps, not over `{}`", self.subject);
            return self.bad(&fold.iter_range, message, "name an attribute");
        }
        let (over, begin) = (self.term(&fold.iter_range)?, self.term(&fold.accu_init)?);
        let outer = self.variables.len();
        self.variables.extend([fold.accu_var.clone(), fold.iter_var.clone()]);
        let (goes_on, step) = (self.term(&fold.loop_cond)?, self.term(&fold.loop_step)?);
        self.variables.truncate(outer + 1);
        let end = self.term(&fold.result)?;
        self.variables.truncate(outer);
        Ok(Term::Fold(Box::new(Fold { over, begin, goes_on, step, end })))
    }
}

/// A list of literals is a literal, so that it is not built for every record.
fn literal_list(terms: Vec<Term>) -> Term {
    if !terms.iter().all(|term| matches!(term, Term::Literal(_))) {
        return Term::List(terms);
    }
    let value = |term| match term {
        Term::Literal(value) => Some(value),
        _ => None,
    };
    Term::Literal(Value::List(terms.into_iter().filter_map(value).collect()))
}

/// The function of a name, with this many arguments including the one that it is called on.
fn function(name: &str, arguments: usize, is_method: bool) -> Option<Function> {
    Some(match (name, arguments, is_method) {
        (operators::EQUALS, 2, false) => Function::Equal,
        (operators::NOT_EQUALS, 2, false) => Function::Unequal,
        (operators::LESS, 2, false) => Function::Less,
        (operators::LESS_EQUALS, 2, false) => Function::LessOrEqual,
        (operators::GREATER, 2, false) => Function::Greater,
        (operators::GREATER_EQUALS, 2, false) => Function::GreaterOrEqual,
        (operators::IN, 2, false) => Function::In,
        (operators::INDEX, 2, false) => Function::Index,
        (operators::ADD, 2, false) => Function::Add,
        (operators::SUBSTRACT, 2, false) => Function::Subtract,
        (operators::MULTIPLY, 2, false) => Function::Multiply,
        (operators::MODULO, 2, false) => Function::Remainder,
        (operators::NEGATE, 1, false) => Function::Negate,
        ("size", 1, _) => Function::Size,
        ("startsWith", 2, true) => Function::StartsWith,
        ("endsWith", 2, true) => Function::EndsWith,
        ("contains", 2, true) => Function::Contains,
        ("lowerAscii", 1, true) => Function::LowerAscii,
        ("upperAscii", 1, true) => Function::UpperAscii,
        ("decimal", 1, false) => Function::Decimal,
        _ => return None,
    })
}
