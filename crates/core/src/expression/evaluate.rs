//! Evaluates a compiled expression on a record.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap};

use crate::{
    expression::{
        arithmetic,
        compare::{equal, holds, order, steps_of},
        failed::{Failed, kind},
        steps::Steps,
        term::{Fold, Function, Term},
    },
    item::{Item, Value},
};

/// Whether the expression holds of a record.
pub(super) fn holds_of(term: &Term, record: &Item) -> Result<bool, Failed> {
    let mut evaluation = Evaluation { record, variables: Vec::new(), steps: Steps::all() };
    match &*evaluation.value(term)? {
        Value::Bool(holds) => Ok(*holds),
        other => Err(Failed::NotBoolean(kind(other))),
    }
}

struct Evaluation<'a> {
    record: &'a Item,
    variables: Vec<Cow<'a, Value>>,
    steps: Steps,
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, term: &'a Term) -> Result<Cow<'a, Value>, Failed> {
        self.steps.take(1)?;
        let is = |is| Ok(Cow::Owned(Value::Bool(is)));
        match term {
            Term::Literal(value) => Ok(Cow::Borrowed(value)),
            Term::Attribute(name) => entry(Cow::Borrowed(self.record), name),
            Term::HasAttribute(name) => is(self.record.contains_key(name)),
            Term::Variable(index) => {
                let value = self.variables[*index].clone();
                if let Cow::Owned(copied) = &value {
                    self.steps.take(deep_steps_of(copied))?;
                }
                Ok(value)
            }
            Term::Entry(of, name) => match self.value(of)? {
                Cow::Borrowed(Value::Map(entries)) => entry(Cow::Borrowed(entries), name),
                Cow::Owned(Value::Map(entries)) => entry(Cow::Owned(entries), name),
                other => Err(Failed::types("a field", &[&other])),
            },
            Term::HasEntry(of, name) => match &*self.value(of)? {
                Value::Map(entries) => is(entries.contains_key(name)),
                other => Err(Failed::types("has()", &[other])),
            },
            Term::List(terms) => Ok(Cow::Owned(Value::List(self.owned(terms)?))),
            Term::Map(entries) => {
                let mut map = BTreeMap::new();
                for (name, term) in entries {
                    let value = self.value(term)?;
                    map.insert(name.clone(), self.own(value)?);
                }
                Ok(Cow::Owned(Value::Map(map)))
            }
            Term::Not(of) => is(!self.boolean("!", of)?),
            // The second is not asked if the first decides. Unlike in CEL, an error of the first is always one.
            Term::And(a, b) => is(self.boolean("&&", a)? && self.boolean("&&", b)?),
            Term::Or(a, b) => is(self.boolean("||", a)? || self.boolean("||", b)?),
            Term::If(branches) => {
                let [condition, then, otherwise] = &**branches;
                if self.boolean("?:", condition)? { self.value(then) } else { self.value(otherwise) }
            }
            Term::Call(function, arguments) => self.call(*function, arguments),
            Term::Fold(fold) => self.fold(fold),
        }
    }

    fn boolean(&mut self, operation: &'static str, term: &'a Term) -> Result<bool, Failed> {
        match &*self.value(term)? {
            Value::Bool(is) => Ok(*is),
            other => Err(Failed::types(operation, &[other])),
        }
    }

    fn owned(&mut self, terms: &'a [Term]) -> Result<Vec<Value>, Failed> {
        let mut values = Vec::with_capacity(terms.len());
        for term in terms {
            let value = self.value(term)?;
            values.push(self.own(value)?);
        }
        Ok(values)
    }

    fn own(&mut self, value: Cow<'a, Value>) -> Result<Value, Failed> {
        if let Cow::Borrowed(copied) = &value {
            self.steps.take(deep_steps_of(copied))?;
        }
        Ok(value.into_owned())
    }

    fn fold(&mut self, fold: &'a Fold) -> Result<Cow<'a, Value>, Failed> {
        let over = self.value(&fold.over)?;
        let elements: Vec<Cow<'a, Value>> = match over {
            Cow::Borrowed(Value::List(values)) => values.iter().map(Cow::Borrowed).collect(),
            over => {
                let over = self.own(over)?;
                elements_of(over)?.into_iter().map(Cow::Owned).collect()
            }
        };
        let outer = self.variables.len();
        let mut so_far = self.value(&fold.begin)?;
        for element in elements {
            self.variables.extend([so_far, element]);
            if !self.boolean("a macro", &fold.goes_on)? {
                so_far = self.variables.swap_remove(outer);
                self.variables.truncate(outer);
                break;
            }
            so_far = self.value(&fold.step)?;
            self.variables.truncate(outer);
        }
        self.variables.push(so_far);
        let end = self.value(&fold.end);
        self.variables.truncate(outer);
        end
    }

    fn call(&mut self, function: Function, terms: &'a [Term]) -> Result<Cow<'a, Value>, Failed> {
        let mut values = Vec::with_capacity(terms.len());
        for term in terms {
            values.push(self.value(term)?);
        }
        let steps = &mut self.steps;
        if let (Function::Index, [of, at]) = (function, values.as_slice()) {
            return Ok(Cow::Owned(element(of, at, steps)?));
        }
        let values: Vec<&Value> = values.iter().map(|value| &**value).collect();
        match values.as_slice() {
            [value] => of_one(function, value, steps),
            [a, b] => of_two(function, a, b, steps),
            _ => unreachable!("every function takes one value or two"),
        }
        .map(Cow::Owned)
    }
}

fn entry<'a>(map: Cow<'a, BTreeMap<String, Value>>, name: &str) -> Result<Cow<'a, Value>, Failed> {
    let found = match map {
        Cow::Borrowed(map) => map.get(name).map(Cow::Borrowed),
        Cow::Owned(mut map) => map.remove(name).map(Cow::Owned),
    };
    found.ok_or_else(|| Failed::Missing(name.to_owned()))
}

/// What lies at an index of a list, or under a name of a map.
fn element(of: &Value, at: &Value, steps: &mut Steps) -> Result<Value, Failed> {
    let found = match (of, at) {
        (Value::List(values), Value::Number(number)) => {
            arithmetic::index(*number).and_then(|index| values.get(index)).ok_or(Failed::Outside)?
        }
        (Value::Map(entries), Value::Text(name)) => entries.get(name).ok_or_else(|| Failed::Missing(name.clone()))?,
        _ => return Err(Failed::types("[]", &[of, at])),
    };
    steps.take(deep_steps_of(found))?;
    Ok(found.clone())
}

/// The elements of a list or set, or the names of a map.
fn elements_of(value: Value) -> Result<Vec<Value>, Failed> {
    Ok(match value {
        Value::List(values) => values,
        Value::Texts(set) => set.into_iter().map(Value::Text).collect(),
        Value::Numbers(set) => set.into_iter().map(Value::Number).collect(),
        Value::Binaries(set) => set.into_iter().map(Value::Binary).collect(),
        Value::Map(entries) => entries.into_keys().map(Value::Text).collect(),
        other => return Err(Failed::types("a macro", &[&other])),
    })
}

fn of_one(function: Function, value: &Value, steps: &mut Steps) -> Result<Value, Failed> {
    steps.take(steps_of(value))?;
    match (function, value) {
        (Function::Size, value) => {
            let size = match value {
                // In CEL the size of a text is its number of code points.
                Value::Text(text) => text.chars().count(),
                Value::Binary(bytes) => bytes.len(),
                Value::Map(entries) => entries.len(),
                Value::List(values) => values.len(),
                Value::Texts(set) => set.len(),
                Value::Numbers(set) => set.len(),
                Value::Binaries(set) => set.len(),
                other => return Err(Failed::types(function.name(), &[other])),
            };
            Ok(Value::Number(size.to_string().parse().map_err(|_| Failed::Inexact("size()"))?))
        }
        (Function::Negate, Value::Number(number)) => Ok(Value::Number(arithmetic::negate(*number)?)),
        (Function::LowerAscii, Value::Text(text)) => Ok(Value::Text(text.to_ascii_lowercase())),
        (Function::UpperAscii, Value::Text(text)) => Ok(Value::Text(text.to_ascii_uppercase())),
        (Function::Decimal, Value::Text(text)) => text.parse().map(Value::Number).map_err(|_| Failed::NotDecimal),
        (Function::Decimal, Value::Number(number)) => Ok(Value::Number(*number)),
        (function, other) => Err(Failed::types(function.name(), &[other])),
    }
}

fn of_two(function: Function, a: &Value, b: &Value, steps: &mut Steps) -> Result<Value, Failed> {
    let name = function.name();
    let mut is_ordered = |is: fn(Ordering) -> bool| Ok(Value::Bool(is(order(name, a, b, steps)?)));
    match (function, a, b) {
        (Function::Less, ..) => return is_ordered(Ordering::is_lt),
        (Function::LessOrEqual, ..) => return is_ordered(Ordering::is_le),
        (Function::Greater, ..) => return is_ordered(Ordering::is_gt),
        (Function::GreaterOrEqual, ..) => return is_ordered(Ordering::is_ge),
        _ => {}
    }
    match (function, a, b) {
        (Function::Equal, ..) => return Ok(Value::Bool(equal(name, a, b, steps)?)),
        (Function::Unequal, ..) => return Ok(Value::Bool(!equal(name, a, b, steps)?)),
        (Function::In, ..) => return Ok(Value::Bool(holds(b, a, steps)?)),
        _ => steps.take(deep_steps_of(a).saturating_add(deep_steps_of(b)))?,
    }
    Ok(match (function, a, b) {
        (Function::Add, Value::Number(a), Value::Number(b)) => Value::Number(arithmetic::add(*a, *b)?),
        (Function::Subtract, Value::Number(a), Value::Number(b)) => Value::Number(arithmetic::subtract(*a, *b)?),
        (Function::Multiply, Value::Number(a), Value::Number(b)) => Value::Number(arithmetic::multiply(*a, *b)?),
        (Function::Remainder, Value::Number(a), Value::Number(b)) => Value::Number(arithmetic::remainder(*a, *b)?),
        (Function::Add, Value::Text(a), Value::Text(b)) => Value::Text([a.as_str(), b].concat()),
        (Function::Add, Value::Binary(a), Value::Binary(b)) => Value::Binary([&**a, b].concat().into()),
        (Function::Add, Value::List(a), Value::List(b)) => Value::List([a.as_slice(), b].concat()),
        (Function::StartsWith, Value::Text(a), Value::Text(b)) => Value::Bool(a.starts_with(b)),
        (Function::EndsWith, Value::Text(a), Value::Text(b)) => Value::Bool(a.ends_with(b)),
        (Function::Contains, Value::Text(a), Value::Text(b)) => Value::Bool(a.contains(b)),
        _ => return Err(Failed::types(name, &[a, b])),
    })
}

/// Steps that it takes to copy a value with everything in it.
fn deep_steps_of(value: &Value) -> usize {
    let within: usize = match value {
        Value::List(values) => values.iter().map(deep_steps_of).sum(),
        Value::Map(entries) => entries.iter().map(|(name, value)| name.len() / 64 + deep_steps_of(value)).sum(),
        _ => 0,
    };
    within + steps_of(value)
}
