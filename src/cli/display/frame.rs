//! Draws a scene in a space of columns and rows: what matters less falls away first.

use indicatif::FormattedDuration;

use crate::cli::{
    display::{
        line::{Line, cut, pad, pad_left, width},
        palette::{Palette, Tone},
        rows::Rows,
        scene::{DatasetScene, Doing, Mark, PhaseScene, Scene},
    },
    render::{self, number},
    screen::Size,
};
use migrate_core::{model::ByteCount, report::RequestsAtOnce};

/// Names are cut at this share of the columns.
const NAME_SHARE: usize = 3;
/// Datasets that are shown even if not all phases fit.
const DATASETS_MIN: usize = 3;
/// Lines with fewer columns are of no use.
const COLUMNS_MIN: usize = 20;

/// The lines of a scene: none wider than the terminal, and fewer than it has rows.
pub(in crate::cli) fn frame(scene: &Scene, size: Size, palette: Palette) -> Vec<String> {
    // A character in the last column leaves the cursor where terminals disagree.
    let columns = size.columns.saturating_sub(1).max(1);
    let rows = size.rows.saturating_sub(1).max(1);
    let names = names(scene, columns);
    let lines = fit(scene, rows, columns, names);
    lines.iter().map(|line| line.shown(columns, palette)).collect()
}

/// How many columns names take.
fn names(scene: &Scene, columns: usize) -> usize {
    let phases = scene.phases.iter().map(|phase| width(&phase.name));
    let datasets = scene.phases.iter().flat_map(|phase| &phase.datasets).filter(|one| one.is_at_work());
    let longest = phases.chain(datasets.map(|one| width(one.name.as_str()) + 2)).max().unwrap_or(0);
    longest.min((columns / NAME_SHARE).max(COLUMNS_MIN.min(columns)))
}

fn fit(scene: &Scene, rows: usize, columns: usize, names: usize) -> Vec<Line> {
    let mut lines = vec![head(scene, columns)];
    let at_work = scene.phases.iter().flat_map(|phase| &phase.datasets).filter(|dataset| dataset.is_at_work());
    let columns_of_rows = Rows::of(at_work, columns, names);
    let of_phase = |phase| of_phase(scene, phase, &columns_of_rows, columns, names);
    let shown: Vec<_> = scene.phases.iter().map(of_phase).collect();
    let (room, rows) = (rows, rows.saturating_sub(lines.len()));
    let heads: usize = shown.iter().map(|phase| phase.head.len()).sum();
    let at_work: usize = shown.iter().map(|phase| phase.datasets.len()).sum();
    let all: usize = heads + shown.iter().flat_map(|phase| &phase.datasets).map(Vec::len).sum::<usize>();
    // Phases under way stay; of the others only their number, if the rows are too few.
    let folded = all > rows && heads + DATASETS_MIN.min(at_work) + 1 > rows;
    let (before, after) = (counted(scene, Mark::Done), counted(scene, Mark::Waits));
    if folded && before > 0 {
        let text = format!("{} done", render::count(before, "phase", "phases"));
        lines.push(Line::default().with(Tone::Done, "✔ ").with(Tone::Dim, text));
    }
    let is_kept = |mark: Mark| !folded || matches!(mark, Mark::Running | Mark::Wrong);
    let kept: Vec<_> = shown.into_iter().filter(|phase| is_kept(phase.mark)).collect();
    let heads: usize = kept.iter().map(|phase| phase.head.len()).sum();
    let folds = usize::from(folded && before > 0) + usize::from(folded && after > 0);
    let mut left = rows.saturating_sub(heads + folds);
    for phase in kept {
        lines.extend(phase.head);
        let needed: usize = phase.datasets.iter().map(Vec::len).sum();
        let mut hidden = 0;
        let spare = if needed > left { left.saturating_sub(1) } else { left };
        let mut taken = 0;
        for dataset in phase.datasets {
            if hidden > 0 || taken + dataset.len() > spare {
                hidden += 1;
            } else {
                taken += dataset.len();
                lines.extend(dataset);
            }
        }
        if hidden > 0 && left > 0 {
            lines.push(Line::default().with(Tone::Dim, format!("    and {} more", number(hidden))));
            taken += 1;
        }
        left = left.saturating_sub(taken);
    }
    if folded && after > 0 {
        let text = format!("· {} later", render::count(after, "phase", "phases"));
        lines.push(Line::default().with(Tone::Dim, text));
    }
    lines.extend(at_once(scene).filter(|_| lines.len() < room));
    lines.truncate(room);
    lines
}

/// How many requests run at once at the sites where that says anything.
fn at_once(scene: &Scene) -> Option<Line> {
    let sites: Vec<_> = scene.at_once.iter().filter(|one| one.is_found()).map(RequestsAtOnce::line).collect();
    (!sites.is_empty()).then(|| Line::default().with(Tone::Dim, format!("  {}", sites.join(" · "))))
}

fn counted(scene: &Scene, mark: Mark) -> u64 {
    scene.phases.iter().filter(|phase| phase.mark() == mark).count() as u64
}

fn head(scene: &Scene, columns: usize) -> Line {
    let (number, all) = (scene.phase_number(), scene.phases.len());
    let of = if number > 0 { format!("phase {number} of {all}   ") } else { String::new() };
    let right = Line::default()
        .with(Tone::Dim, of)
        .with(Tone::Plain, scene.clock.clone().unwrap_or_else(|| FormattedDuration(scene.now).to_string()));
    let room = columns.saturating_sub(right.width() + 2);
    let plan = scene.plan.as_str();
    let rest = format!(" · {}", scene.action.join(" · "));
    let plan = cut(plan, room.saturating_sub(width(&rest)).max(room / 2));
    let rest = cut(&rest, room.saturating_sub(width(&plan)));
    Line::default().with(Tone::Bold, plan).with(Tone::Plain, rest).and_right(right, columns)
}

/// The lines of a phase.
struct Shown {
    mark: Mark,
    head: Vec<Line>,
    datasets: Vec<Vec<Line>>,
}

fn of_phase(scene: &Scene, phase: &PhaseScene, rows: &Rows, columns: usize, names: usize) -> Shown {
    let mark = phase.mark();
    let (sign, tone) = match mark {
        Mark::Done => ("✔", Tone::Done),
        Mark::Running => ("▶", Tone::Running),
        Mark::Waits => ("·", Tone::Waits),
        Mark::Wrong => ("✗", Tone::Wrong),
    };
    let name_tone = if mark == Mark::Waits { Tone::Plain } else { tone };
    let begin = Line::default()
        .with(tone, sign)
        .with(Tone::Plain, " ")
        .with(name_tone, pad(&cut(&phase.name, names), names))
        .with(Tone::Plain, "   ");
    let room = columns.saturating_sub(begin.width());
    let head = match mark {
        Mark::Done => vec![begin.and(done(phase, room))],
        Mark::Running if phase.step.is_some() => steps(phase, begin, room),
        Mark::Running => vec![begin.and(running(phase))],
        Mark::Waits => vec![begin.and(waits(scene, phase))],
        Mark::Wrong => vec![begin.and(wrong(phase))],
    };
    let at_work = phase.datasets.iter().filter(|dataset| is_shown(phase, dataset));
    Shown { mark, head, datasets: at_work.map(|dataset| rows.lines(dataset)).collect() }
}

/// What is wrong with a phase that has ended is told beside its name, and of those that wait together the first.
fn is_shown(phase: &PhaseScene, dataset: &DatasetScene) -> bool {
    match &dataset.doing {
        Doing::Wrong(_) => phase.mark() == Mark::Running,
        Doing::Moving => {
            let alike = |one: &&DatasetScene| one.doing == Doing::Moving && one.waits() == dataset.waits();
            let first = phase.datasets.iter().find(alike).map(|one| &one.name);
            dataset.waits().is_some() && first == Some(&dataset.name)
        }
        _ => dataset.is_at_work(),
    }
}

/// What a phase has done: what fits, in the order of its weight.
fn done(phase: &PhaseScene, room: usize) -> Line {
    let datasets = phase.datasets.len() as u64;
    let records: u64 = phase.datasets.iter().map(|one| one.records).sum();
    let bytes: u64 = phase.datasets.iter().map(|one| one.bytes).sum();
    let noun = match phase.datasets.iter().filter(|one| one.is_table).count() as u64 {
        0 => ("object", "objects"),
        tables if tables == datasets => ("item", "items"),
        _ => ("record", "records"),
    };
    let is_proved = phase.datasets.iter().all(|one| matches!(one.doing, Doing::Proved | Doing::Moved));
    let moved = one_move(phase).map(|(from, to)| format!("{from} → {to}")).unwrap_or_default();
    let records = if records > 0 { render::count(records, noun.0, noun.1) } else { String::new() };
    let bytes = if bytes > 0 { ByteCount(bytes).to_string() } else { String::new() };
    let mut pieces = [
        (Tone::Plain, pad(&render::count(datasets, "dataset", "datasets"), 10)),
        (Tone::Plain, pad_left(&records, 13)),
        (Tone::Plain, pad_left(&bytes, 9)),
        (Tone::Done, if is_proved { "proved ✔" } else { "copied ✔" }.to_owned()),
        (Tone::Plain, moved),
    ];
    // The counts fall away before what was proved and who leads.
    let needed = |pieces: &[(Tone, String)]| pieces.iter().map(|(_, text)| width(text) + 2).sum::<usize>();
    for falls in [0, 2, 1] {
        if needed(&pieces) > room + 2 {
            pieces[falls].1.clear();
        }
    }
    let mut line = Line::default();
    for (tone, text) in pieces {
        line = line.then(tone, &text);
    }
    line
}

/// The move of a phase, if all its moves are the same.
fn one_move(phase: &PhaseScene) -> Option<&(String, String)> {
    let mut moves = phase.datasets.iter().filter_map(|one| one.moves.as_ref());
    let first = moves.next()?;
    moves.all(|other| other == first).then_some(first)
}

fn running(phase: &PhaseScene) -> Line {
    let of = phase.datasets.len() as u64;
    let proved = phase.datasets.iter().filter(|one| matches!(one.doing, Doing::Proved | Doing::Moved)).count() as u64;
    let text = format!("{} of {} proved", number(proved), render::count(of, "dataset", "datasets"));
    Line::default().with(if proved > 0 { Tone::Done } else { Tone::Dim }, text)
}

fn waits(scene: &Scene, phase: &PhaseScene) -> Line {
    if phase.needs_approval {
        return Line::default().with(Tone::Waits, "everything is proved; waits for an approval");
    }
    let is_done = |name: &String| scene.phases.iter().all(|one| one.name != *name || one.mark() == Mark::Done);
    match phase.after.iter().find(|name| !is_done(name)) {
        Some(before) => Line::default().with(Tone::Waits, format!("waits for {before}")),
        None => Line::default(),
    }
}

fn wrong(phase: &PhaseScene) -> Line {
    let mut wrong = phase.datasets.iter().filter_map(|one| match &one.doing {
        Doing::Wrong(why) => Some(format!("{}: {why}", one.name)),
        _ => None,
    });
    let first = wrong.next().unwrap_or_default();
    let more = wrong.count();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Line::default().with(Tone::Wrong, format!("{first}{more}"))
}

/// The steps of a cutover as ticks, each with its name if there is room.
fn steps(phase: &PhaseScene, begin: Line, room: usize) -> Vec<Line> {
    let ticks = |named: bool| {
        let mut line = Line::default();
        for step in &phase.steps {
            let (sign, tone) = match phase.step {
                Some(now) if *step < now => ("✔", Tone::Done),
                Some(now) if *step == now => ("▶", Tone::Running),
                _ => ("·", Tone::Dim),
            };
            let name = step.as_str();
            line = if named {
                line.then(tone, &format!("{name} {sign}"))
            } else {
                line.with(tone, sign).with(Tone::Plain, " ")
            };
        }
        line
    };
    let (all, now) = (ticks(true), phase.step.map_or("", |step| step.as_str()));
    match () {
        () if all.width() <= room => vec![begin.and(all)],
        () => vec![begin.and(ticks(false)).with(Tone::Running, format!(" {now}"))],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::display::recorded;
    use migrate_core::report::WhyAtOnce;

    const BARE: Palette = Palette { is_on: false };

    fn drawn(scene: &Scene, columns: usize, rows: usize) -> Vec<String> {
        frame(scene, Size { columns, rows }, BARE)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_block_higher() {
        for until in [0, 500, 2_000, 4_050, 5_500, 7_100] {
            let mut scene = recorded::scene(until);
            let reason = Some("beijing asked for fewer requests because of the index by-date of the table orders");
            scene.take(&recorded::copying("storefront", 1, 3_000_000, 1 << 40, reason), Duration::from_millis(until));
            scene = scene.sending(recorded::at_once(&[("beijing", 512, WhyAtOnce::Most)]));
            for columns in (1..160).chain([400]) {
                for rows in [1, 2, 3, 5, 8, 24] {
                    let lines = drawn(&scene, columns, rows);
                    assert!(lines.len() <= rows.saturating_sub(1).max(1), "{} lines of {rows}", lines.len());
                    for line in &lines {
                        assert!(width(line) < columns.max(2), "{} of {columns}: {line}", width(line));
                    }
                }
            }
        }
    }

    #[test]
    fn what_matters_less_falls_away_first() {
        let mut scene = recorded::scene(500);
        scene.take(&recorded::copying("storefront", 1_234, 5_000, 5 << 20, None), Duration::from_secs(7));
        let row = |columns| drawn(&scene, columns, 24).into_iter().find(|line| line.contains("storefront")).unwrap();
        assert!(
            row(140).ends_with(
                "████░░░░░░░░░░░░░░░░   24 %  1,234/5,000 copied  1.2 MiB of 5.0 MiB  568.9 KiB/s  7 s left"
            ),
            "{}",
            row(140)
        );
        assert!(
            row(100).ends_with("████░░░░░░░░░░░░░░░   24 %  1,234/5,000 copied  568.9 KiB/s  7 s left"),
            "{}",
            row(100)
        );
        assert!(row(80).ends_with("   24 %  1,234/5,000 copied  7 s left"), "{}", row(80));
        assert!(row(60).ends_with(" 1,234/5,000 copied  7 s left"), "{}", row(60));
    }

    #[test]
    fn a_reason_to_wait_is_shown_whole() {
        let mut scene = recorded::scene(500);
        let reason = "california: bandwidth limit 488.3 KiB/s";
        scene.take(&recorded::copying("storefront", 1, 5_000, 5 << 20, Some(reason)), Duration::from_secs(7));
        for columns in [60, 80, 100, 140] {
            let lines = drawn(&scene, columns, 24).join("\n");
            assert!(lines.contains(&format!("waits for {reason}")), "{lines}");
            assert!(lines.contains(" left"), "{lines}");
        }
    }

    #[test]
    fn many_datasets_are_counted_and_not_shown() {
        let scene = recorded::scene(2_000);
        let lines = drawn(&scene, 100, 6);
        assert!(lines.iter().any(|line| line.contains("and 2 more")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("· ")), "{lines:#?}");
    }

    #[test]
    fn requests_at_once_are_told_below_all_else_where_there_is_room() {
        let sites = recorded::at_once(&[
            ("aws", 128, WhyAtOnce::Growing),
            ("beijing", 16, WhyAtOnce::Beginning),
            ("disk", 32, WhyAtOnce::Fixed),
            ("paris", 8, WhyAtOnce::Throttled),
        ]);
        let bare = recorded::scene(500);
        let scene = recorded::scene(500).sending(sites);
        let (without, with) = (drawn(&bare, 100, 24), drawn(&scene, 100, 24));
        assert_eq!(with[..without.len()], without);
        assert_eq!(
            with[without.len()..],
            ["  aws: 128 requests at once, growing · paris: 8 requests at once, throttled"]
        );
        assert_eq!(drawn(&scene, 100, without.len() + 1), without, "the rest matters more");
        assert_eq!(drawn(&scene, 30, 24).last().unwrap(), "  aws: 128 requests at once,…");
    }

    #[test]
    fn a_scene_says_what_was_done_what_is_done_and_what_waits() {
        let lines = drawn(&recorded::scene(7_100), 118, 24);
        assert!(lines[0].starts_with("global-expansion · rehearsal · seed 1 "), "{lines:#?}");
        assert!(lines[0].ends_with("phase 2 of 3   00:00:07"), "{lines:#?}");
        let done = "✔ e-commerce               3 datasets    928 objects   53.0 MiB  proved ✔  beijing → singapore";
        assert_eq!(lines[1], done, "{lines:#?}");
        let steps = "gate ✔  quiet ✔  drain ✔  final verify ▶  last look ·  switch ·  watch ·";
        assert_eq!(lines[2], format!("▶ accounts-and-messaging   {steps}"));
        assert!(
            lines[3].contains("   82 %  343/418 compared  2 s left   app wrote 40×: 12 brought over"),
            "{lines:#?}"
        );
        assert_eq!(lines[5], "· local-regions            waits for accounts-and-messaging");
        let narrow = drawn(&recorded::scene(7_100), 80, 24);
        assert!(narrow[2].ends_with("✔ ✔ ✔ ▶ · · ·  final verify"), "{narrow:#?}");
    }
}
