//! The picture of a rehearsal in the README, drawn from a frame of the display. It is kept current by a test: with
//! `MIGRATE_WRITE_PICTURE=1` this writes it anew.

use std::{fmt::Write as _, num::NonZeroU16};

use super::{frame::frame, palette::Palette, recorded};
use crate::cli::screen::Size;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rehearsal.svg");
const SIZE: Size = Size { columns: 118, rows: 24 };
const CHARACTER: usize = 9;
const LINE: usize = 21;
const EDGE: usize = 20;

/// The colour of a cell as it is in the picture.
fn colour(cell: &vt100::Cell) -> &'static str {
    match cell.fgcolor() {
        vt100::Color::Idx(1) => "#ff7b72",
        vt100::Color::Idx(2) => "#7ee787",
        vt100::Color::Idx(3) => "#e3b341",
        vt100::Color::Idx(6) => "#79c0ff",
        _ if cell.dim() => "#8b949e",
        _ if cell.bold() => "#ffffff",
        _ => "#c9d1d9",
    }
}

/// A frame as a picture: each run of one colour is a text that takes exactly its columns.
fn picture(lines: &[String]) -> String {
    let of = |number: usize| NonZeroU16::try_from(u16::try_from(number).unwrap()).unwrap();
    let mut terminal = vt100::Parser::new(of(SIZE.rows), of(SIZE.columns), 0);
    terminal.process(lines.join("\r\n").as_bytes());
    let (width, height) = (SIZE.columns * CHARACTER + 2 * EDGE, lines.len() * LINE + 2 * EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title>migrate rehearse, while it runs</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, monospace\" font-size=\"15\" \
         xml:space=\"preserve\">\n"
    );
    for row in 0..lines.len() {
        let mut runs: Vec<(usize, &str, String)> = Vec::new();
        for column in 0..SIZE.columns {
            let cell = terminal.screen().cell(row.try_into().unwrap(), column.try_into().unwrap()).unwrap();
            let (text, colour) = (if cell.has_contents() { cell.contents() } else { " " }, colour(cell));
            match runs.last_mut() {
                Some((_, last, run)) if *last == colour => run.push_str(text),
                _ => runs.push((column, colour, text.to_owned())),
            }
        }
        for (column, colour, run) in runs.into_iter().filter(|(.., run)| !run.trim().is_empty()) {
            let begin = run.len() - run.trim_start().len();
            let (x, y) = (EDGE + (column + begin) * CHARACTER, EDGE + row * LINE + 15);
            let run = run.trim();
            let length = run.chars().count() * CHARACTER;
            let text = run.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" fill=\"{colour}\">{text}</text>");
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

#[test]
fn the_picture_in_the_readme_is_what_the_display_shows() {
    let drawn = picture(&frame(&recorded::scene(7_100), SIZE, Palette { is_on: true }));
    if std::env::var_os("MIGRATE_WRITE_PICTURE").is_some() {
        std::fs::write(PATH, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(PATH).unwrap_or_default();
    assert_eq!(drawn, kept, "bring it up to date: MIGRATE_WRITE_PICTURE=1 cargo test -p migrate --lib picture");
}
