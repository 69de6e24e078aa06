//! The paths in a source file: `use` trees spread out, and every path that code, macros and attributes name.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::UseTree;

use super::source::{Source, is_sign, line, name};

/// A path, as it is written.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) line: usize,
    /// Its parts; the last is `*` where a `use` takes all. The first is empty where the beginning is no
    /// name, as in `<A as B>::c`.
    pub(super) parts: Vec<String>,
    /// The module that it stands in, below the root of the crate.
    pub(super) module: Vec<String>,
    /// Whether it is a single name that is called.
    pub(super) is_called: bool,
    /// How it is imported, if a `use` does so.
    pub(super) import: Option<Import>,
}

/// A leaf of a `use`.
#[derive(Debug)]
pub(super) struct Import {
    /// The name that it has from here on; `*` for all, `_` for none.
    pub(super) name: String,
    /// Whether others can import it from here.
    pub(super) is_handed_on: bool,
}

/// A module that is declared.
#[derive(Debug)]
pub(super) struct Module {
    /// Its path below the root of the crate.
    pub(super) path: Vec<String>,
    /// Whether what it holds stands in the same file.
    pub(super) is_inline: bool,
}

impl Path {
    /// With `self` and `super` replaced by the module that they mean, which begins with `crate`.
    pub(super) fn absolute(&self) -> Vec<String> {
        let supers = self.parts.iter().take_while(|part| *part == "super").count();
        let selfs = usize::from(self.parts[0] == "self" && self.parts.len() > 1);
        if supers + selfs == 0 {
            return self.parts.clone();
        }
        let base = &self.module[..self.module.len().saturating_sub(supers)];
        let rest = self.parts.iter().skip(supers + selfs);
        std::iter::once(&"crate".to_owned()).chain(base).chain(rest).cloned().collect()
    }

    /// Whether it begins with these parts.
    pub(super) fn starts(&self, prefix: &[&str]) -> bool {
        let parts = self.absolute();
        parts.len() >= prefix.len() && parts.iter().zip(prefix).all(|(part, wanted)| part == wanted)
    }

    pub(super) fn shown(&self) -> String {
        self.parts.join("::")
    }
}

/// What a file names and declares.
#[derive(Default)]
pub(super) struct Found {
    /// Every path.
    pub(super) paths: Vec<Path>,
    /// Every module that is declared.
    pub(super) modules: Vec<Module>,
    /// Every function that is no method, by its path below the root of the crate.
    pub(super) functions: Vec<Vec<String>>,
    /// How many groups are around what is read, without those of modules.
    depth: usize,
}

impl Found {
    /// Reads the tokens of a file whose module is `module`.
    pub(super) fn new(stream: TokenStream, module: &[String]) -> Self {
        let mut found = Self::default();
        found.walk(stream, &mut module.to_vec());
        found
    }

    fn walk(&mut self, stream: TokenStream, module: &mut Vec<String>) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            let keyword = name(trees.get(at)).unwrap_or_default();
            let taken = match keyword.as_str() {
                "use" => self.import(&trees, at, module),
                "mod" => self.declared(&trees[at..], module),
                "fn" if self.depth == 0 => {
                    let named = name(trees.get(at + 1));
                    self.functions.extend(named.map(|name| [module.as_slice(), &[name]].concat()));
                    1
                }
                _ => 0,
            };
            at += if taken > 0 { taken } else { self.one(&trees, at, module) };
        }
    }

    /// A `use`, spread out. Returns how many tokens it takes: none if it is no import (`use<'a>` in a type).
    fn import(&mut self, trees: &[TokenTree], at: usize, module: &[String]) -> usize {
        let Some(length) = trees[at..].iter().position(|tree| is_sign(Some(tree), ';')) else { return 0 };
        let item: TokenStream = trees[at..=at + length].iter().cloned().collect();
        let Ok(item) = syn::parse2::<syn::ItemUse>(item) else { return 0 };
        let before = at.checked_sub(1).map(|before| &trees[before]);
        let is_limited = matches!(before, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        let visible = if is_limited { at.checked_sub(2).map(|before| &trees[before]) } else { before };
        let is_handed_on = name(visible).as_deref() == Some("pub");
        self.spread(&item.tree, &[], module, is_handed_on);
        length + 1
    }

    fn spread(&mut self, tree: &UseTree, before: &[String], module: &[String], is_handed_on: bool) {
        let (ident, span, renamed) = match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                return self.spread(&path.tree, &before, module, is_handed_on);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.spread(tree, before, module, is_handed_on));
            }
            UseTree::Name(name) => (name.ident.to_string(), name.ident.span(), None),
            UseTree::Rename(rename) => (rename.ident.to_string(), rename.ident.span(), Some(&rename.rename)),
            UseTree::Glob(glob) => ("*".to_owned(), glob.star_token.spans[0], None),
        };
        let mut parts = before.to_vec();
        // `a::{self, b}` imports `a`.
        if ident != "self" || parts.is_empty() {
            parts.push(ident);
        }
        let name = renamed.map_or_else(|| parts[parts.len() - 1].clone(), ToString::to_string);
        let import = Some(Import { name, is_handed_on });
        self.paths.push(Path { line: span.start().line, parts, module: module.to_vec(), is_called: false, import });
    }

    /// A module, with all that is in it if it is inline. Returns how many tokens it takes.
    fn declared(&mut self, trees: &[TokenTree], module: &mut Vec<String>) -> usize {
        let (Some(name), Some(next)) = (name(trees.get(1)), trees.get(2)) else { return 0 };
        module.push(name);
        let taken = match next {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                self.modules.push(Module { path: module.clone(), is_inline: true });
                self.walk(group.stream(), module);
                3
            }
            next if is_sign(Some(next), ';') => {
                self.modules.push(Module { path: module.clone(), is_inline: false });
                3
            }
            _ => 0,
        };
        module.pop();
        taken
    }

    /// A path, or a token that is part of none. Returns how many tokens it takes.
    fn one(&mut self, trees: &[TokenTree], at: usize, module: &mut Vec<String>) -> usize {
        if let TokenTree::Group(group) = &trees[at] {
            self.depth += 1;
            self.walk(group.stream(), module);
            self.depth -= 1;
            return 1;
        }
        // A lifetime is a mark and a name.
        if is_sign(trees.get(at), '\'') {
            return 2;
        }
        let Some(first) = name(trees.get(at)) else { return 1 };
        let sign_before = |back: usize, sign| at >= back && is_sign(trees.get(at - back), sign);
        // A field or a method is a name of what stands before the dot; behind two dots stands a path.
        if sign_before(1, '.') && !sign_before(2, '.') {
            return 1;
        }
        let mut parts = vec![first];
        let mut end = at + 1;
        while is_sign(trees.get(end), ':') && is_sign(trees.get(end + 1), ':') {
            let Some(next) = name(trees.get(end + 2)) else { break };
            parts.push(next);
            end += 3;
        }
        // `<A as B>::c` goes on; `-> ::a` and `=> ::a` begin.
        let goes_on = sign_before(3, '>') && !sign_before(4, '-') && !sign_before(4, '=');
        if sign_before(1, ':') && sign_before(2, ':') && goes_on {
            parts.insert(0, String::new());
        }
        let is_defined = at > 0 && name(trees.get(at - 1)).as_deref() == Some("fn");
        let is_called = !is_defined
            && matches!(trees.get(end), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        let path = Path { line: line(&trees[at]), parts, module: module.clone(), is_called, import: None };
        self.paths.push(path);
        end - at
    }
}

fn absolute(text: &str) -> Vec<String> {
    let source = Source::new("crates/core/src/a/b.rs", text);
    source.paths.iter().map(|path| format!("{}:{}", path.line, path.absolute().join("::"))).collect()
}

#[track_caller]
fn has(text: &str, wanted: &[&str]) {
    let found = absolute(text);
    for wanted in wanted {
        assert!(found.iter().any(|path| path == wanted), "{text:?} names no {wanted}: {found:?}");
    }
}

#[test]
fn a_path_is_seen_however_it_is_written() {
    has("use a::{b, c::{self,\n d as e}, f::*};", &["1:a::b", "1:a::c", "2:a::c::d", "2:a::f::*"]);
    has("use super::super::a; use super::d; use self::e;", &["1:crate::a", "1:crate::a::d", "1:crate::a::b::e"]);
    has("mod m { use super::c; fn f() { self::d() } }", &["1:crate::a::b::c", "1:crate::a::b::m::d"]);
    has("fn f(x: Vec<a::B>) -> ::c::D { e::<f::G>::h(); x?..i::J }", &["1:a::B", "1:c::D", "1:f::G", "1:i::J"]);
    has("fn f() { <A as B>::now(); A::<B>::now() }", &["1:::now"]);
    has("#[derive(a::B)]\nstruct S { #[c(d = e::f())] x: u8 }", &["1:a::B", "2:e::f"]);
    has("fn f() { select! {\n x = a::b() => g(vec![c::d()]), } }", &["2:a::b", "2:c::d"]);
    has("macro_rules! m { ($x:expr) => { $crate::a::B::new($x) }; }", &["1:crate::a::B::new"]);
}

#[test]
fn what_is_no_path_is_not_taken_for_one() {
    let found = absolute("// a::b\n/// c::d\nfn f<'x>(y: &'x str) -> impl Sized + use<'x> { y.len.now(); \"e::f\" }");
    let long: Vec<_> = found.iter().filter(|path| path.matches("::").count() > 0).collect();
    assert!(long.is_empty(), "{long:?}");
    assert!(!found.iter().any(|path| path == "3:x" || path == "3:now"), "{found:?}");
}
