//! Colours that mean something, and whether they are shown.

use std::{
    env,
    io::{self, IsTerminal as _},
    sync::OnceLock,
};

use clap::ValueEnum;

/// Whether colours are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set; everywhere if `CLICOLOR_FORCE` is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) enum Tone {
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Of little importance.
    Dim,
    Done,
    Running,
    Waits,
    Wrong,
}

impl Tone {
    /// The number of its ANSI style (ECMA-48, "select graphic rendition").
    fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Bold => Some(1),
            Self::Dim => Some(2),
            Self::Done => Some(32),
            Self::Running => Some(36),
            Self::Waits => Some(33),
            Self::Wrong => Some(31),
        }
    }
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Palette {
    pub(in crate::cli) is_on: bool,
}

static CHOICE: OnceLock<ColorChoice> = OnceLock::new();

/// Takes the choice of the command line, once for the process.
pub(in crate::cli) fn choose(choice: ColorChoice) {
    // A second one, as in tests, does not count.
    let _first_counts = CHOICE.set(choice);
}

impl Palette {
    /// For progress and complaints.
    pub(in crate::cli) fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    /// For the answer.
    pub(in crate::cli) fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    fn of(is_terminal: bool) -> Self {
        let choice = CHOICE.get().copied().unwrap_or_default();
        Self { is_on: is_on(choice, is_terminal, |name| env::var(name).ok()) }
    }

    pub(in crate::cli) fn paint(self, tone: Tone, text: &str) -> String {
        match tone.code().filter(|_| self.is_on && !text.is_empty()) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// By the conventions of <https://no-color.org> and <https://bixense.com/clicolors>.
fn is_on(choice: ColorChoice, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let says = |name: &str, value: &str| variable(name).as_deref() == Some(value);
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if is_set("NO_COLOR") => false,
        ColorChoice::Auto if is_set("CLICOLOR_FORCE") && !says("CLICOLOR_FORCE", "0") => true,
        ColorChoice::Auto => is_terminal && !says("TERM", "dumb") && !says("CLICOLOR", "0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_where_a_person_wants_them() {
        let on = |choice, is_terminal, set: &[(&str, &str)]| {
            let of = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            is_on(choice, is_terminal, of)
        };
        let auto = ColorChoice::Auto;
        assert!(on(auto, true, &[]) && !on(auto, false, &[]));
        assert!(on(auto, true, &[("NO_COLOR", "")]) && !on(auto, true, &[("NO_COLOR", "1")]));
        assert!(on(auto, false, &[("CLICOLOR_FORCE", "1")]) && !on(auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!on(auto, true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(!on(auto, true, &[("TERM", "dumb")]) && !on(auto, true, &[("CLICOLOR", "0")]));
        assert!(on(ColorChoice::Always, false, &[("NO_COLOR", "1")]) && !on(ColorChoice::Never, true, &[]));
    }

    #[test]
    fn without_colours_text_is_as_it_was() {
        assert_eq!(Palette { is_on: false }.paint(Tone::Wrong, "x"), "x");
        assert_eq!(Palette { is_on: true }.paint(Tone::Wrong, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Palette { is_on: true }.paint(Tone::Plain, "x"), "x");
    }
}
