//! `migrate man`: the manual pages, made of the help texts.

use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::{
    command_line::Cli,
    error::{Code, Failure},
    term,
};

/// Prints the page of the program, or writes all pages into a directory.
pub(in crate::cli) fn man(out: Option<&Path>) -> Result<Code, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = out else {
        term::answer(page(command)?.trim_end());
        return Ok(Code::Done);
    };
    let mut written = 0;
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    let pages: Vec<_> = visible.map(|sub| (format!("migrate-{}.1", sub.get_name()), sub.clone())).collect();
    for (name, of) in std::iter::once(("migrate.1".to_owned(), command)).chain(pages) {
        write(&directory.join(name), &page(of)?)?;
        written += 1;
    }
    term::answer(&format!("{written} pages are in {}", directory.display()));
    Ok(Code::Done)
}

fn page(command: clap::Command) -> Result<String, Failure> {
    // What stands after the options has lines of its own, which a manual page keeps only if it is told to.
    let after = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    let man = Man::new(command.after_help("").after_long_help(""));
    let mut page = Vec::new();
    let rendered = man.render(&mut page);
    rendered.map_err(|error| Failure::new(Code::Incomplete, format!("failed to make the page: {error}")))?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for line in after.iter().flat_map(|after| [".SH NOTES", ".nf"].into_iter().chain(after.lines())).chain([".fi"]) {
        let is_ours = matches!(line, ".SH NOTES" | ".nf" | ".fi");
        let line = if is_ours { line.to_owned() } else { plain(line) };
        page.extend([line.as_str(), "\n"]);
    }
    Ok(page)
}

/// A line that a manual page shows as it is.
fn plain(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

fn write(file: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(file, page).map_err(|error| {
        Failure::new(Code::Wrong, format!("failed to write {}: {error}", file.display()))
            .mended_by("name a directory that is there and that you may write to")
    })
}
