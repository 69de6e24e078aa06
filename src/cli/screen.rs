//! The terminal that progress is drawn on: a block of lines that is drawn anew in place, and lines above it that stay.
//!
//! The cursor rests at the block's first character, and everything from there on is the block's. So a terminal that wraps
//! or cuts lines when it is resized moves the cursor with the block, and whatever the block has become is erased from the
//! cursor on. Nothing else may write to the terminal while a block is shown: [`above`] is the way.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Erases from the cursor to the end of the screen.
const ERASE: &str = "\r\x1b[J";
/// Hides the cursor, and keeps the terminal from wrapping lines and from showing half of a drawing.
const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?2026l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// How many columns and rows a terminal without a size is taken to have.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// The size of the terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What is shown now.
#[derive(Debug)]
struct Screen {
    /// The block as it was drawn last; empty if there is none.
    block: Vec<String>,
    /// A person is asked something: nothing is drawn.
    is_paused: bool,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { block: Vec::new(), is_paused: false });

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a block can be drawn: progress goes to a terminal that can move its cursor.
pub(super) fn can_draw() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// The size of the terminal now.
pub(super) fn size() -> Size {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        _ => USUAL,
    }
}

/// Draws a block in place of the last one.
pub(super) fn draw(lines: Vec<String>) {
    let mut screen = screen();
    if !screen.is_paused {
        screen.block = lines;
        write(&screen.drawn());
    }
}

/// Erases the block.
pub(super) fn clear() {
    let mut screen = screen();
    if !screen.block.is_empty() {
        screen.block.clear();
        write(&format!("{ERASE}{SHOW_CURSOR}"));
    }
}

/// Writes lines that stay: above the block, if there is one.
pub(super) fn above(text: &str) {
    let screen = screen();
    if screen.block.is_empty() {
        write(&format!("{text}\n"));
    } else {
        write(&format!("{ERASE}{}\r\n{}", text.replace('\n', "\r\n"), screen.drawn()));
    }
}

/// Erases the block, and draws none until the guard is dropped.
pub(super) fn pause() -> Paused {
    clear();
    screen().is_paused = true;
    Paused
}

/// Nothing is drawn while it lives.
#[derive(Debug)]
pub(super) struct Paused;

impl Drop for Paused {
    fn drop(&mut self) {
        screen().is_paused = false;
    }
}

impl Screen {
    /// What draws the block from the cursor on, and brings the cursor back.
    fn drawn(&self) -> String {
        let mut text = BEGIN.to_owned();
        for (row, line) in self.block.iter().enumerate() {
            let _ = write!(text, "{}\r{line}\x1b[0m\x1b[K", if row == 0 { "" } else { "\r\n" });
        }
        text.push_str("\x1b[J\r");
        if self.block.len() > 1 {
            let _ = write!(text, "\x1b[{}A", self.block.len() - 1);
        }
        text.push_str(END);
        text
    }
}

/// In one piece, so that no other process writes in between.
fn write(text: &str) {
    // A terminal that has gone shows nothing, and the migration goes on.
    let mut out = io::stderr().lock();
    let _unheard = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_the_cursor_at_its_first_character() {
        let block = ["one", "two", "three"].map(str::to_owned).into();
        let drawn = Screen { block, is_paused: false }.drawn();
        assert!(drawn.ends_with("\x1b[J\r\x1b[2A\x1b[?7h\x1b[?2026l"), "{drawn:?}");
        assert_eq!(drawn.matches("\r\n").count(), 2);
    }
}
