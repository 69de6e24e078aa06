//! A compiled expression.

use std::collections::BTreeMap;

use crate::item::Value;

/// A compiled expression. Names are resolved, so evaluating one knows no names but those of attributes.
#[derive(Debug)]
pub(super) enum Term {
    Literal(Value),
    /// An attribute of the record.
    Attribute(String),
    /// Whether the record has an attribute.
    HasAttribute(String),
    /// A variable of a macro, counted from the outermost one.
    Variable(usize),
    /// An entry of a map.
    Entry(Box<Term>, String),
    /// Whether a map has an entry.
    HasEntry(Box<Term>, String),
    List(Vec<Term>),
    Map(BTreeMap<String, Term>),
    Not(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    If(Box<[Term; 3]>),
    Call(Function, Vec<Term>),
    Fold(Box<Fold>),
}

/// A macro over the elements of a list or set, or over the names of a map: `all`, `exists`, `map` and the like.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) over: Term,
    /// The result so far. It and the element are the two innermost variables of the next three terms.
    pub(super) begin: Term,
    pub(super) goes_on: Term,
    pub(super) step: Term,
    /// Sees only the result so far.
    pub(super) end: Term,
}

/// A function or operator whose arguments are all evaluated first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Index,
    Add,
    Subtract,
    Multiply,
    Remainder,
    Negate,
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Decimal,
}

impl Function {
    /// How it is written in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Index => "[]",
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
            Self::Remainder => "%",
            Self::Size => "size()",
            Self::StartsWith => "startsWith()",
            Self::EndsWith => "endsWith()",
            Self::Contains => "contains()",
            Self::LowerAscii => "lowerAscii()",
            Self::UpperAscii => "upperAscii()",
            Self::Decimal => "decimal()",
        }
    }
}
