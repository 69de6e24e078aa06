//! Which plan a command is about: a file that is named, `migrate.toml` of the working directory if none is, or
//! standard input for `-`.

use std::{
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;

use super::error::{Code, Failure};
use migrate_core::plan;

/// The plan of the working directory, which no command needs to be told of.
pub(super) const FOUND: &str = "migrate.toml";
/// Names standard input.
const STDIN: &str = "-";

/// The argument that names a plan.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(super) struct PlanFile {
    /// The plan file; without it migrate.toml in the working directory, and `-` for standard input
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
}

/// Where a plan comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file, as it was typed.
    Named(PathBuf),
    /// `migrate.toml` of the working directory, which was not named.
    Found,
    /// Standard input.
    Stdin,
    /// The program itself.
    Shipped,
}

/// The plan that is part of the program, with the name that its diagnostics have.
const SHIPPED: (&str, &str) =
    ("global-expansion.toml (part of migrate)", include_str!("../../plans/global-expansion.toml"));

impl PlanFile {
    /// The argument, from a command line that was read by hand.
    pub(super) fn of(plan: Option<PathBuf>) -> Self {
        Self { plan }
    }

    /// What was typed.
    pub(super) fn typed(&self) -> Option<&Path> {
        self.plan.as_deref()
    }

    /// Whether the plan of the working directory is meant, and what was typed in its place is another word: it names no
    /// file.
    pub(super) fn is_another_word(&self) -> bool {
        self.plan.as_deref().is_some_and(|word| word != Path::new(STDIN) && !word.exists())
            && Path::new(FOUND).is_file()
    }

    /// Where the plan comes from.
    pub(super) fn origin(&self) -> Result<Origin, Failure> {
        self.known().ok_or_else(|| {
            Failure::new(Code::Wrong, format!("no plan is named, and there is no {FOUND} in the working directory"))
                .mended_by("name a plan file, or write one with `migrate init SOURCE TARGET...`")
        })
    }

    /// The same; without any plan, the one that is part of the program.
    pub(super) fn origin_or_shipped(&self) -> Origin {
        self.known().unwrap_or(Origin::Shipped)
    }

    fn known(&self) -> Option<Origin> {
        match &self.plan {
            Some(plan) if plan == Path::new(STDIN) => Some(Origin::Stdin),
            Some(plan) => Some(Origin::Named(plan.clone())),
            None => Path::new(FOUND).is_file().then_some(Origin::Found),
        }
    }
}

impl Origin {
    /// The file that relative paths of the plan start from, as diagnostics name it. What has no file starts from the
    /// working directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(file) => file,
            Self::Found => Path::new(FOUND),
            Self::Stdin => Path::new("<stdin>"),
            Self::Shipped => Path::new(SHIPPED.0),
        }
    }

    /// The file on a disk, if it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Named(file) => Some(file),
            Self::Found => Some(Path::new(FOUND)),
            Self::Stdin | Self::Shipped => None,
        }
    }

    /// The word that names the plan on a command line, if it needs one.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Self::Named(file) => Some(file.to_string_lossy().into_owned()),
            Self::Found | Self::Shipped => None,
            Self::Stdin => Some(STDIN.to_owned()),
        }
    }

    /// The text of the plan.
    pub(super) fn read(&self) -> Result<String, Failure> {
        let bytes = match self {
            Self::Named(_) | Self::Found => std::fs::read(self.path()),
            Self::Stdin => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
            }
            Self::Shipped => return Ok(SHIPPED.1.to_owned()),
        };
        let bytes = bytes.map_err(|error| self.unreadable(&error))?;
        Ok(plan::decoded(bytes, self.path())?)
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        match self {
            Self::Stdin => Failure::new(Code::Wrong, format!("failed to read the plan from standard input: {error}"))
                .mended_by("name a plan file"),
            _ => Failure::unreadable(self.path(), error),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            _ => write!(f, "{}", self.path().display()),
        }
    }
}
