//! A source file, read into what the rules look at.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::{
    Attribute, Field, FieldValue, Ident, ImplItem, Item, ItemMod, Stmt, Token, Visibility, braced,
    ext::IdentExt as _,
    parse::{Parse, ParseStream, Parser as _, discouraged::Speculative as _},
};

use super::{
    Complaint,
    paths::{Found, Module, Path},
};

/// A source file.
pub(super) struct Source {
    /// Relative to the repository.
    pub(super) path: String,
    /// The folder of the root of its crate: `src`, `crates/core/src`, `tests/it`.
    pub(super) folder: String,
    /// The path of its module below the root of its crate.
    pub(super) module: Vec<String>,
    /// Lines before the first inline test module.
    pub(super) lines: usize,
    /// Whether all of it is test code.
    pub(super) is_test: bool,
    /// Every path outside test code: leaves of `use` trees and paths in code, macros and attributes.
    pub(super) paths: Vec<Path>,
    /// Every module that is declared outside test code, inline or in a file of its own.
    pub(super) modules: Vec<Module>,
    /// The path of every function outside test code that is no method.
    pub(super) free_functions: Vec<Vec<String>>,
    /// As `modules`, with those of test code.
    pub(super) modules_with_tests: Vec<Module>,
    /// Every macro that is called outside test code.
    pub(super) macros: Vec<Macro>,
    /// As `macros`, with those of test code.
    pub(super) macros_with_tests: Vec<Macro>,
    /// Every attribute, also of test code.
    pub(super) attributes: Vec<Words>,
    /// Every function with a body, also of test code.
    pub(super) functions: Vec<Function>,
    /// In a `mod.rs` or `lib.rs`: the line of every item outside test code that is neither a module nor an import.
    pub(super) defines: Vec<usize>,
}

/// A macro that is called.
pub(super) struct Macro {
    pub(super) line: usize,
    pub(super) name: String,
    /// The names in it.
    pub(super) names: Vec<String>,
    /// The literals in it, with their quotation marks.
    pub(super) literals: Vec<String>,
}

/// The names in an attribute, in order.
pub(super) struct Words {
    pub(super) line: usize,
    pub(super) names: Vec<String>,
}

/// A function with a body.
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) name: String,
    /// From the line of `fn` to that of the closing brace.
    pub(super) lines: usize,
}

impl Source {
    /// Reads the text of a file.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let whole = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/");
        let code = if is_test { TokenStream::new() } else { without_tests(whole.clone()) };
        let (folder, module) = place(path);
        let found = Found::new(code.clone(), &module);
        Self {
            path: path.to_owned(),
            lines: if is_test { None } else { lines_before_tests(&whole) }.unwrap_or_else(|| text.lines().count()),
            is_test,
            defines: definitions(path, code.clone()),
            paths: found.paths,
            modules: found.modules,
            free_functions: found.functions,
            modules_with_tests: Found::new(whole.clone(), &module).modules,
            macros: macros(code),
            macros_with_tests: macros(whole.clone()),
            attributes: attributes(whole.clone()),
            functions: functions(whole),
            folder,
            module,
        }
    }

    /// Whether it is part of the program, tests included, and not of the tests beside it.
    pub(super) fn is_program(&self) -> bool {
        self.path.starts_with("src/") || self.path.starts_with("crates/")
    }

    pub(super) fn complaint(&self, line: usize, reason: impl Into<String>) -> Complaint {
        Complaint { file: self.path.clone(), line, reason: reason.into() }
    }
}

/// The folder of the root of a file's crate, and the path of the file's module below it.
fn place(path: &str) -> (String, Vec<String>) {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let depth = match parts[0] {
        "crates" => 3,
        "tests" => 2,
        _ => 1,
    };
    let (folder, module) = parts.split_at(depth.min(parts.len() - 1));
    let mut module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    (folder.join("/"), module)
}

/// The lines of the items of a root that are neither a module nor an import, in inline modules as well.
fn definitions(path: &str, code: TokenStream) -> Vec<usize> {
    if !path.ends_with("/mod.rs") && !path.ends_with("/lib.rs") {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let read = |input: ParseStream<'_>| items(input, &mut lines);
    read.parse2(code).unwrap_or_else(|error| panic!("{path}: {error}"));
    lines
}

fn items(input: ParseStream<'_>, lines: &mut Vec<usize>) -> syn::Result<()> {
    input.call(Attribute::parse_inner)?;
    while !input.is_empty() {
        input.call(Attribute::parse_outer)?;
        let line = input.span().start().line;
        let ahead = input.fork();
        ahead.parse::<Visibility>()?;
        if ahead.peek(Token![mod]) {
            input.advance_to(&ahead);
            input.parse::<Token![mod]>()?;
            input.call(Ident::parse_any)?;
            if input.peek(Token![;]) {
                input.parse::<Token![;]>()?;
            } else {
                let inside;
                braced!(inside in input);
                items(&inside, lines)?;
            }
        } else if !matches!(input.parse()?, Item::Use(_)) {
            lines.push(line);
        }
    }
    Ok(())
}

/// Lines before the first test module that is written inline.
fn lines_before_tests(whole: &TokenStream) -> Option<usize> {
    let trees: Vec<TokenTree> = whole.clone().into_iter().collect();
    let mut tests = (0..trees.len()).filter(|at| is_for_tests(&trees[*at..]));
    tests.find_map(|at| {
        let module = |input: ParseStream<'_>| {
            let module = ItemMod::parse(input)?;
            input.parse::<TokenStream>()?;
            Ok(module.content.is_some())
        };
        let is_inline = module.parse2(trees[at..].iter().cloned().collect()).unwrap_or(false);
        is_inline.then(|| line(&trees[at]) - 1)
    })
}

/// Whether `#[cfg(test)]` stands here.
fn is_for_tests(trees: &[TokenTree]) -> bool {
    is_sign(trees.first(), '#')
        && matches!(trees.get(1), Some(TokenTree::Group(group)) if names(group) == ["cfg", "test"])
}

/// The tokens without what `#[cfg(test)]` stands before, at every depth.
fn without_tests(stream: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        if is_for_tests(&trees[at..]) {
            at += length(&trees[at..]);
            continue;
        }
        kept.push(match &trees[at] {
            TokenTree::Group(group) => {
                let mut cut = Group::new(group.delimiter(), without_tests(group.stream()));
                cut.set_span(group.span());
                cut.into()
            }
            tree => tree.clone(),
        });
        at += 1;
    }
    kept.into_iter().collect()
}

/// How many tokens the statement, item or field takes that begins here, with its attributes.
fn length(trees: &[TokenTree]) -> usize {
    let left = |input: ParseStream<'_>| {
        take(input, Stmt::parse)
            .or_else(|_| take(input, ImplItem::parse))
            .or_else(|_| take(input, |input| Attribute::parse_outer(input).and_then(|_| Field::parse_named(input))))
            .or_else(|_| take(input, FieldValue::parse))?;
        Ok(input.parse::<TokenStream>()?.into_iter().count())
    };
    let left = left.parse2(trees.iter().cloned().collect());
    // What is something else (an arm, say) is taken for code of the program, without its attribute.
    left.map_or(2, |left| trees.len() - left)
}

/// Moves on behind what is parsed, or stays.
fn take<T>(input: ParseStream<'_>, parse: fn(ParseStream<'_>) -> syn::Result<T>) -> syn::Result<()> {
    let ahead = input.fork();
    parse(&ahead)?;
    input.advance_to(&ahead);
    Ok(())
}

pub(super) fn is_sign(tree: Option<&TokenTree>, sign: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// A name, without the mark of a raw one.
pub(super) fn name(tree: Option<&TokenTree>) -> Option<String> {
    let Some(TokenTree::Ident(ident)) = tree else { return None };
    let name = ident.to_string();
    Some(name.strip_prefix("r#").unwrap_or(&name).to_owned())
}

pub(super) fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

/// Shows every place among the tokens, at every depth, with the tokens from there to the end of its group.
fn each(stream: TokenStream, look: &mut impl FnMut(&[TokenTree])) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        look(&trees[at..]);
        if let TokenTree::Group(group) = tree {
            each(group.stream(), look);
        }
    }
}

fn macros(stream: TokenStream) -> Vec<Macro> {
    let mut found = Vec::new();
    each(stream, &mut |trees| {
        let called = name(trees.first()).filter(|_| is_sign(trees.get(1), '!'));
        if let (Some(called), Some(TokenTree::Group(group))) = (called, trees.get(2)) {
            let mut literals = Vec::new();
            each(group.stream(), &mut |inside| {
                if let TokenTree::Literal(literal) = &inside[0] {
                    literals.push(literal.to_string());
                }
            });
            found.push(Macro { line: line(&trees[0]), name: called, names: names(group), literals });
        }
    });
    found
}

fn names(group: &Group) -> Vec<String> {
    let mut found = Vec::new();
    each(group.stream(), &mut |trees| found.extend(name(trees.first())));
    found
}

fn attributes(stream: TokenStream) -> Vec<Words> {
    let mut found = Vec::new();
    each(stream, &mut |trees| {
        let inside = if is_sign(trees.get(1), '!') { 2 } else { 1 };
        if let (true, Some(TokenTree::Group(group))) = (is_sign(trees.first(), '#'), trees.get(inside)) {
            found.push(Words { line: line(&trees[0]), names: names(group) });
        }
    });
    found
}

fn functions(stream: TokenStream) -> Vec<Function> {
    let mut found = Vec::new();
    each(stream, &mut |trees| {
        if name(trees.first()).as_deref() != Some("fn") {
            return;
        }
        let signature = trees.iter().take_while(|tree| !is_sign(Some(tree), ';'));
        let body = signature.into_iter().find_map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.span_close().end().line),
            _ => None,
        });
        if let (Some(name), Some(end)) = (name(trees.get(1)), body) {
            let line = line(&trees[0]);
            found.push(Function { line, name, lines: end + 1 - line });
        }
    });
    found
}

#[test]
fn what_is_compiled_for_tests_only_is_left_out() {
    let text = "use a::A;
        #[cfg(test)]
        mod tests;
        struct S {
            b: B,
            #[cfg(test)]
            pub(super) x: x::X,
            c: C,
        }
        impl S {
            #[cfg(test)]
            #[must_use]
            fn x(&self) -> x::X { x!() }
            fn d(&self) -> Self {
                #[cfg(test)]
                let x = if x::x() { 1 } else { x::y() };
                #[cfg(test)]
                x::x();
                Self { b: d!(), #[cfg(test)] x: x::X::new(), c: C }
            }
        }
        #[cfg(unix)]
        fn e() {}
        #[cfg(test)]
        mod inline { use x::X; }";
    let source = Source::new("src/a.rs", text);
    assert!(source.paths.iter().all(|path| path.parts[0] != "x"), "{:?}", source.paths);
    for kept in ["a", "B", "C", "d", "e"] {
        assert!(source.paths.iter().any(|path| path.parts[0] == kept), "{kept}: {:?}", source.paths);
    }
    assert_eq!(source.macros.iter().map(|called| called.name.as_str()).collect::<Vec<_>>(), ["d"]);
    assert_eq!(source.macros_with_tests.len(), 2);
    assert_eq!(source.lines, 23);
    assert!(source.modules.is_empty() && source.modules_with_tests.len() == 2);
}

#[test]
fn a_file_has_its_place() {
    let of = |path: &str| {
        let (folder, module) = place(path);
        (folder, module.join("::"))
    };
    assert_eq!(of("crates/aws/src/s3/probe/keys.rs"), ("crates/aws/src".to_owned(), "s3::probe::keys".to_owned()));
    assert_eq!(of("crates/aws/src/lib.rs"), ("crates/aws/src".to_owned(), String::new()));
    assert_eq!(of("src/cli/mod.rs"), ("src".to_owned(), "cli".to_owned()));
    assert_eq!(of("tests/it/main.rs"), ("tests/it".to_owned(), String::new()));
}
