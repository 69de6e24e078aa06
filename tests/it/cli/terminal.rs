//! The live display, on a pseudo-terminal whose output a small terminal reads.

use std::{
    fs::File,
    io::Read as _,
    num::NonZeroU16,
    process::{Command, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::{Bench, Running};

/// Rows above the block at the begin, so that a block that climbs is seen.
const BEFORE: &str = "$ migrate\r\n";
/// Slow enough to be seen, and to be asked for its end.
const SLOW: &str = "60kB/s";
const SLOWEST: &str = "25kB/s";
/// Any of these is a part of a block.
const OF_A_BLOCK: [&str; 6] = ["▶", "█", "░", "copied", " · ", "00:"];

/// A terminal with a program at it.
struct Terminal {
    ours: File,
    child: Running,
    screen: vt100::Parser,
    raw: Vec<u8>,
    /// Lines that were wrapped, since they were wider than the terminal.
    wrapped: Vec<String>,
}

impl Terminal {
    fn start(command: &mut Command, columns: u16, rows: u16) -> Self {
        Self::start_with(command, columns, rows, false)
    }

    /// The same; the answer goes to the terminal too.
    fn start_with(command: &mut Command, columns: u16, rows: u16, is_answered: bool) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&theirs, size(columns, rows)).unwrap();
        if is_answered {
            command.stdout(theirs.try_clone().unwrap());
        }
        command.stderr(theirs).env("TERM", "xterm-256color");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            if !command.get_envs().any(|(set, _)| set == name) {
                command.env_remove(name);
            }
        }
        let child = Running::start(command);
        // Else this process would keep their end open.
        command.stderr(Stdio::null()).stdout(Stdio::null());
        let mut screen = vt100::Parser::new(of(rows), of(columns), 100);
        screen.process(BEFORE.as_bytes());
        Self { ours: File::from(ours), child, screen, raw: Vec::new(), wrapped: Vec::new() }
    }

    /// Reads what comes; `false` at the end.
    fn read(&mut self) -> bool {
        let mut part = [0; 4096];
        // Reading ends with an error once the other side is closed.
        let Ok(read @ 1..) = self.ours.read(&mut part) else { return false };
        self.raw.extend_from_slice(&part[..read]);
        self.screen.process(&part[..read]);
        for row in 0..self.screen.screen().size().0.get() {
            if self.screen.screen().row_wrapped(row) {
                self.wrapped.push(self.text());
            }
        }
        true
    }

    /// Reads until this is shown.
    fn until(&mut self, shown: &str) {
        while !self.text().contains(shown) {
            assert!(self.read(), "{shown:?} was not shown: {}", self.text());
        }
    }

    /// Reads to the end; the exit code.
    fn end(&mut self) -> i32 {
        while self.read() {}
        self.child.wait().unwrap().code().unwrap()
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Resizes the terminal. What was drawn for the old size is still on its way, so a smaller screen waits for a drawing.
    fn resize(&mut self, columns: u16, rows: u16) {
        let (old_rows, old_columns) = self.screen.screen().size();
        self.screen.screen_mut().set_size(of(rows.max(old_rows.get())), of(columns.max(old_columns.get())));
        tcsetwinsize(&self.ours, size(columns, rows)).unwrap();
        self.drawn();
        self.drawn();
        self.screen.screen_mut().set_size(of(rows), of(columns));
        self.drawn();
    }

    /// Reads up to the end of the next drawing.
    fn drawn(&mut self) {
        assert!(self.read(), "{}", self.text());
        while !self.raw.ends_with(b"\x1b[?2026l") {
            assert!(self.read(), "{}", self.text());
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Nothing of a block is left, and the cursor is shown again, where the next line goes.
    fn is_left_clean(&self, lines: &[&str]) {
        let (screen, text) = (self.screen.screen(), self.text());
        for part in OF_A_BLOCK {
            assert!(!text.contains(part), "{part:?} is left:\n{text}");
        }
        let shown: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        let expected: Vec<_> = std::iter::once(BEFORE.trim_end()).chain(lines.iter().copied()).collect();
        assert_eq!(shown, expected);
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        assert_eq!(screen.cursor_position(), (expected.len().try_into().unwrap(), 0), "{text}");
    }
}

fn of(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Two datasets, one with a name that is too long for any column, from a source that is slow.
fn bench(bandwidth: &str) -> Bench {
    let bench = Bench::new(&[]);
    let long = "a-catalogue-of-images-with-a-name-that-no-column-can-hold";
    let more = format!(
        "[[phase.dataset]]\nname = \"{long}\"\nsource = \"file://here/more\"\ntargets = [\"file://there/more\"]\n\
         waive = [\"properties\"]\n"
    );
    bench.plan_with("", "", &more);
    let text = std::fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write(
        "plan.toml",
        &text.replace(
            "directory = \"source\"\n",
            &format!("directory = \"source\"\nlimits = {{ bandwidth = \"{bandwidth}\" }}\n"),
        ),
    );
    for number in 0..60 {
        for folder in ["data", "more"] {
            bench.write(&format!("source/{folder}/{number:03}.txt"), &"x".repeat(2_000));
        }
    }
    bench
}

fn command(bench: &Bench, more: &[&str]) -> Command {
    let mut command = bench.command(&[&["run", "plan.toml"], more].concat());
    command.stdout(Stdio::null());
    command
}

#[test]
fn a_block_fits_its_terminal_and_is_gone_at_the_end() {
    for (columns, bandwidth) in [(80, SLOWEST), (100, SLOW), (140, SLOW)] {
        let bench = bench(bandwidth);
        let mut terminal = Terminal::start(&mut command(&bench, &["--color", "always"]), columns, 24);
        terminal.until(" copied");
        terminal.until("a-catalogue-of");
        let shown = terminal.text();
        assert!(shown.contains("bench · run") && shown.contains("phase 1 of 1") && shown.contains('…'), "{shown}");
        if bandwidth == SLOWEST {
            terminal.until(" left");
        }
        assert_eq!(terminal.end(), 0);
        assert_eq!(terminal.wrapped, Vec::<String>::new(), "{columns} columns");
        terminal.is_left_clean(&[]);
        assert!(String::from_utf8_lossy(&terminal.raw).contains("\x1b[36m"), "what runs has its colour");
    }
}

#[test]
fn colours_are_left_out_if_nobody_wants_them() {
    for set in [("--color", ""), ("NO_COLOR", "1")] {
        let bench = bench(SLOW);
        let mut command = command(&bench, if set.0 == "--color" { &["--color", "never"] } else { &[] });
        if set.0 != "--color" {
            command.env(set.0, set.1);
        }
        let mut terminal = Terminal::start(&mut command, 100, 24);
        terminal.until(" copied");
        assert_eq!(terminal.end(), 0);
        let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
        for code in [1, 2, 31, 32, 33, 36] {
            assert!(!raw.contains(&format!("\x1b[{code}m")), "{set:?}: {raw:?}");
        }
    }
}

#[test]
fn a_terminal_may_be_resized_while_a_run_goes_on() {
    let bench = bench(SLOW);
    let mut terminal = Terminal::start(&mut command(&bench, &[]), 140, 24);
    terminal.until(" copied");
    for (columns, rows) in [(80, 24), (100, 10), (60, 24), (140, 24)] {
        terminal.resize(columns, rows);
        let shown = terminal.text();
        assert_eq!(shown.matches("bench · run").count(), 1, "{columns}x{rows}:\n{shown}");
    }
    assert_eq!(terminal.end(), 0);
    assert_eq!(terminal.wrapped, Vec::<String>::new());
    terminal.is_left_clean(&[]);
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_of_its_block() {
    let once = "finishing what is in flight; press again to cancel requests";
    let twice = "cancelling requests; press again to exit at once";
    for times in [1, 2] {
        let bench = bench(SLOW);
        let mut terminal = Terminal::start(&mut command(&bench, &[]), 100, 24);
        terminal.until(" copied");
        terminal.signal(Signal::INT);
        if times == 2 {
            terminal.until(once);
            terminal.signal(Signal::INT);
        }
        assert_eq!(terminal.end(), 3);
        terminal.is_left_clean(&[once, twice][..times]);
    }
}

#[test]
fn a_pipe_gets_lines_and_so_does_who_asks_for_them() {
    let bench = bench(SLOW);
    let ran = bench.expect(0, &["run", "plan.toml"]);
    assert!(!ran.err.contains('\x1b'), "{}", ran.err);
    assert!(ran.err.contains("phase first\n") && ran.err.contains("files: verified, 60 comparisons\n"), "{}", ran.err);
    let mut terminal = Terminal::start(&mut command(&bench, &["--verbose"]), 100, 24);
    terminal.until("files: verified, 60 comparisons");
    assert_eq!(terminal.end(), 0);
    assert!(!String::from_utf8_lossy(&terminal.raw).contains("\x1b["), "{}", terminal.text());
}

#[test]
fn a_watch_is_drawn_in_place_until_it_is_stopped() {
    let bench = bench(SLOW);
    bench.expect(0, &["run", "plan.toml"]);
    let mut command = bench.command(&["status", "plan.toml", "--watch"]);
    let mut terminal = Terminal::start_with(&mut command, 100, 24, true);
    terminal.until("bench · status");
    terminal.until("✔ first");
    terminal.drawn();
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end(), 0);
    let shown = terminal.text();
    assert!(!shown.contains("bench · status") && shown.contains("files: verified"), "{shown}");
    assert_eq!(terminal.wrapped.len(), terminal.wrapped.iter().filter(|text| !text.contains("· status")).count());
}

#[test]
fn progress_tells_the_share_of_the_records_and_never_falls() {
    let bench = bench(SLOW);
    let ran = bench.expect(0, &["run", "plan.toml", "--json"]);
    let mut last = 0.0;
    let of_files = |event: &serde_json::Value| event["event"] == "progress" && event["dataset"] == "files";
    let progress: Vec<_> = ran.events().into_iter().filter(of_files).collect();
    for event in &progress {
        let of_targets =
            event["targets"].as_array().unwrap().iter().map(|target| target["records"].as_u64().unwrap()).min();
        assert_eq!(event["records_done"].as_u64(), of_targets, "{event}");
        let Some(fraction) = event["fraction"].as_f64() else {
            assert!(event["records_total"].is_null() && event["eta_seconds"].is_null(), "{event}");
            continue;
        };
        assert_eq!((&event["records_total"], &event["bytes_total"]), (&60.into(), &120_000.into()), "{event}");
        assert!(
            (fraction - event["records_done"].as_f64().unwrap() / 60.0).abs() < 1e-9 && fraction >= last,
            "{event}"
        );
        last = fraction;
    }
    assert!(last > 0.0, "{progress:#?}");
}
