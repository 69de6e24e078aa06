//! Shows events as they come: a live block on a terminal, plain lines elsewhere, NDJSON on request. It runs on a thread
//! of its own: a slow terminal or pipe never holds up the engine.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver, task::JoinHandle, time::timeout};

use crate::cli::{
    display::{
        frame::frame,
        lines::Lines,
        palette::Palette,
        scene::{Notes, Scene},
        seen::{Seen, about},
        texts::warned,
    },
    screen, term,
};
use migrate_core::{
    model::DatasetName,
    report::{Event, Redactor},
};
use migrate_engine::Clock;

/// The time between two drawings: the clock and the size of the terminal are looked at as often.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// What ends sooner is not worth a drawing.
const DRAW_AFTER: Duration = Duration::from_millis(250);

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Show {
    /// A live block on stderr if that is a terminal, else lines.
    Progress {
        /// Lines in any case, and all of them.
        all: bool,
    },
    /// The same, without what the answer of a survey holds.
    Survey {
        /// Lines in any case, and all of them.
        all: bool,
    },
    /// Only warnings.
    Quiet,
    /// Events on stdout, one a line.
    Json,
}

/// Shows events until their sender is gone, then returns what was seen. `scene` is where the command stands before its
/// first event, and `clock` the one that stamps the events.
pub(in crate::cli) fn show(
    mut events: UnboundedReceiver<Event>,
    show: Show,
    redactor: Redactor,
    scene: Scene,
    notes: Option<Notes>,
    clock: Clock,
) -> JoinHandle<BTreeMap<DatasetName, Seen>> {
    tokio::task::spawn_blocking(move || {
        let mut display = Display::new(show, scene);
        if display.is_live {
            let runtime = Handle::current();
            let mut block = Block::new();
            loop {
                match runtime.block_on(async { timeout(DRAW_EVERY, events.recv()).await }) {
                    Ok(Some(event)) => display.take(&redactor.event(event)),
                    Ok(None) => break,
                    Err(_nothing_came) => {}
                }
                block.draw(&mut display.scene, notes.as_ref(), &clock);
            }
        } else {
            while let Some(event) = events.blocking_recv() {
                display.take(&redactor.event(event));
            }
        }
        display.seen
    })
}

impl Show {
    /// Whether a block is drawn.
    fn is_live(self) -> bool {
        matches!(self, Self::Progress { all: false } | Self::Survey { all: false }) && screen::can_draw()
    }
}

struct Display {
    show: Show,
    /// Whether a block is drawn.
    is_live: bool,
    scene: Scene,
    lines: Lines,
    seen: BTreeMap<DatasetName, Seen>,
}

impl Display {
    fn new(show: Show, scene: Scene) -> Self {
        let all = matches!(show, Show::Progress { all: true } | Show::Survey { all: true });
        let lines = Lines::new(all, matches!(show, Show::Survey { .. }));
        Self { show, is_live: show.is_live(), scene, lines, seen: BTreeMap::new() }
    }

    fn take(&mut self, event: &Event) {
        if let Some(dataset) = about(&event.kind) {
            self.seen.entry(dataset.clone()).or_default().take(&event.kind);
        }
        if self.show == Show::Json {
            term::answer_line(event);
            return;
        }
        self.scene.take(&event.kind, event.elapsed);
        let lines = match self.show {
            Show::Json | Show::Quiet => warned(&event.kind).into_iter().collect(),
            _ if self.is_live => self.lines.kept(&event.kind).into_iter().collect(),
            Show::Progress { .. } | Show::Survey { .. } => self.lines.of(&event.kind, event.elapsed, &self.scene),
        };
        for line in lines {
            term::tell(&line);
        }
    }
}

/// The block on the terminal; it is erased when this is dropped.
struct Block {
    began: Instant,
    drawn: Option<Instant>,
    palette: Palette,
}

impl Block {
    fn new() -> Self {
        Self { began: Instant::now(), drawn: None, palette: Palette::of_stderr() }
    }

    /// Draws the scene as it is now, unless that was done a moment ago.
    fn draw(&mut self, scene: &mut Scene, notes: Option<&Notes>, clock: &Clock) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY);
        if is_due && self.began.elapsed() >= DRAW_AFTER {
            self.drawn = Some(Instant::now());
            scene.tick(clock.elapsed());
            if let Some(notes) = notes {
                scene.note(notes);
            }
            screen::draw(frame(scene, screen::size(), self.palette));
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        screen::clear();
    }
}
