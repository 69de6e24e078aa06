//! Writes a first plan where none is.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use super::{args::InitArgs, place::Place, text::Draft};
use crate::cli::{
    error::{Code, Failure},
    next::Next,
    plan_file::FOUND,
    term,
};
use migrate_core::plan;

pub(in crate::cli) fn init(args: &InitArgs) -> Result<Code, Failure> {
    let is_stdout = args.out == Path::new("-");
    // What is not written to the working directory has other relative paths.
    let is_elsewhere = !is_stdout && args.out.parent().is_some_and(|parent| !parent.as_os_str().is_empty());
    let place = |text: &String| {
        let place = Place::read(text)?;
        if !is_elsewhere {
            return Ok(place);
        }
        place
            .seen_from_root()
            .map_err(|error| Failure::new(Code::Wrong, format!("{text:?} cannot be resolved: {error}")))
    };
    let source = place(&args.source)?;
    let targets = args.targets.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let is_found = args.out == Path::new(FOUND);
    let file = if is_found || is_stdout { None } else { Some(args.out.to_string_lossy().into_owned()) };
    let draft = Draft { name: args.name.clone(), source, targets, region: region(), file };
    let text = draft.text()?;
    sound(&text)?;
    if is_stdout {
        term::answer(text.trim_end());
        return Ok(Code::Done);
    }
    write_new(&args.out, &text)?;
    term::answer(&format!("{} is written:{}", args.out.display(), draft.summary()));
    let command = term::quoted(["migrate", "check"].into_iter().chain(draft.file.as_deref()));
    term::answer(&Next::Command { mend: draft.to_export(), command }.to_string());
    Ok(Code::Done)
}

/// The region that the operator's other tools use; no place is asked.
fn region() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
}

/// Refuses what no plan can say, in the words of the plan's checks.
fn sound(text: &str) -> Result<(), Failure> {
    let Err(wrong) = plan::parse(text, Path::new(FOUND)) else { return Ok(()) };
    let first = wrong.list().first().expect("what is wrong has a reason");
    let failure = Failure::new(Code::Wrong, first.message.clone());
    Err(match &first.mend {
        Some(mend) => failure.mended_by(mend),
        None => failure,
    })
}

fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).open(file).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(Code::Wrong, format!("{} is there already, and is not written over", file.display()))
                .mended_by("name another file with --out, or move that one away")
        }
        _ => Failure::new(Code::Wrong, format!("failed to write {}: {error}", file.display()))
            .mended_by("name another file with --out"),
    })
}
