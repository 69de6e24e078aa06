//! `migrate status`: where everything stands, from the ledger alone.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    pin::pin,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;

use crate::cli::{
    advise::{Situation, documented},
    args::Global,
    clock,
    commands::history::Run,
    display::{Palette, Scene, Watched, frame},
    error::{Code, Failure},
    interrupt,
    next::Next,
    plan_file::PlanFile,
    render::{self, Grouped, Table},
    screen,
    session::{self, Session},
    state::Holder,
    term,
};
use migrate_core::{
    model::{ByteCount, Epoch, Key, PlanName},
    report::RequestsAtOnce,
};
use migrate_engine::standing::{DatasetStanding, Decision, FAILURES_SHOWN, PhaseStanding};
use migrate_ledger::Ledger;

const WATCH_EVERY: Duration = Duration::from_secs(2);
/// The time between two drawings: the clock and the size of the terminal may have changed.
const DRAW_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate status plans/quickstart.toml
  migrate status plan.toml --json
  migrate status plan.toml --watch         # until ctrl-c")]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Show it again every two seconds, until ctrl-c
    #[arg(long)]
    watch: bool,
    /// List every record that failed, not only the first 20 of each dataset
    #[arg(long)]
    failures: bool,
    /// Print one JSON document (with --watch, one a line)
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn status(args: &StatusArgs, global: &Global) -> Result<Code, Failure> {
    shown(args, global).map_err(|failure| documented(failure, args.json))
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Status<'a> {
    plan: &'a PlanName,
    phases: Vec<PhaseStanding>,
    /// The process that drives the migration now.
    holder: Option<Holder>,
    /// The run that is under way.
    run: Option<UnderWay>,
    /// The last run before it, or the last of all.
    last_run: Option<Run>,
    #[serde(flatten)]
    next: Next,
}

fn shown(args: &StatusArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let failures_max = if args.failures { usize::MAX } else { FAILURES_SHOWN };
    if args.watch && !args.json && io::stdout().is_terminal() && screen::can_draw() {
        return session::block_on(watch(&session, failures_max));
    }
    loop {
        let status = session::block_on(read(&session, failures_max))?;
        match (args.json, args.watch) {
            (true, true) => term::answer_json_line(&status),
            (true, false) => term::answer_json(&status),
            (false, _) => term::answer(&text(&status)),
        }
        if !args.watch {
            return Ok(Code::Done);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Draws where everything stands until ctrl-c, and then tells it once.
async fn watch(session: &Session, failures_max: usize) -> Result<Code, Failure> {
    let mut stop = pin!(interrupt::first());
    let (began, mut watched, palette) = (Instant::now(), Watched::default(), Palette::of_stderr());
    let draws = |is_driven: bool| {
        let action: &[_] = if is_driven { &["status"] } else { &["status", "no run is under way"] };
        Scene::of(&session.plan, action, session.goal(), session.plan.datasets())
    };
    let status = loop {
        let status = read(session, failures_max).await.inspect_err(|_| screen::clear())?;
        let look_again = Instant::now() + WATCH_EVERY;
        let is_over = loop {
            let clock = jiff::Timestamp::now().strftime("%H:%M:%S UTC").to_string();
            let is_driven = status.holder.is_some();
            let at_once = status.run.iter().flat_map(|run| run.requests_at_once.iter().cloned()).collect();
            let scene = draws(is_driven).sending(at_once);
            let scene = watched.scene(scene, &status.phases, is_driven, began.elapsed(), clock);
            screen::draw(frame(&scene, screen::size(), palette));
            if tokio::time::timeout(DRAW_EVERY, &mut stop).await.is_ok() {
                break true;
            }
            if Instant::now() >= look_again {
                break false;
            }
        };
        if is_over {
            break status;
        }
    };
    screen::clear();
    term::answer(&text(&status));
    Ok(Code::Done)
}

async fn read(session: &Session, failures_max: usize) -> Result<Status<'_>, Failure> {
    let ledger = session.ledger_to_read()?;
    let holder = session.state.holder();
    let phases = session.standing(ledger.as_ref(), session.goal(), failures_max).await;
    let phases = phases.map_err(|error| Failure::engine(&error, session.redactor))?;
    let situation = if holder.is_some() { Situation::Driven } else { Situation::of_standing(&phases) };
    let next = session.next(&situation);
    let driving = holder.as_ref().and_then(|holder| holder.run.clone());
    let (run, last_run) = match &ledger {
        Some(ledger) => runs(ledger, driving, &phases).await?,
        None => (None, None),
    };
    Ok(Status { plan: &session.plan.name, phases, holder, run, last_run, next })
}

/// A run that is under way, and how long it will still take.
#[derive(Debug, Serialize)]
struct UnderWay {
    #[serde(flatten)]
    run: Run,
    /// Seconds until everything is copied, by the average so far; `None` while the totals or the rate are not known.
    seconds_left: Option<u64>,
    /// How many requests run at once at each site, as the run has last said; empty if it has said nothing.
    requests_at_once: Vec<RequestsAtOnce>,
}

/// The run that is under way, and the last one before it.
async fn runs(
    ledger: &Ledger,
    driving: Option<String>,
    phases: &[PhaseStanding],
) -> Result<(Option<UnderWay>, Option<Run>), Failure> {
    let mut rows = ledger.runs(2).await.map_err(|error| Failure::ledger(&error))?;
    let is_driving = rows.first().is_some_and(|row| row.ended.is_none() && driving.as_ref() == Some(&row.id));
    let run = is_driving.then(|| Run::of(rows.remove(0), Some(clock::now())));
    let last = rows.into_iter().next().map(|row| Run::of(row, None));
    let Some(run) = run else { return Ok((None, last)) };
    let at_once = ledger.at_once(run.id()).await.map_err(|error| Failure::ledger(&error))?;
    let requests_at_once = at_once.map(|(sites, _)| sites).unwrap_or_default();
    Ok((Some(UnderWay { seconds_left: seconds_left(&run, phases), run, requests_at_once }), last))
}

/// Seconds until every target of every dataset has what it lacks, by the average rate of the run.
fn seconds_left(run: &Run, phases: &[PhaseStanding]) -> Option<u64> {
    let all = || phases.iter().flat_map(|phase| &phase.datasets);
    let rate = run.bytes_per_second()?;
    let mut left = 0;
    for one in all() {
        let total = one.bytes_total.filter(|_| one.total_known)?;
        left += one.followers().map(|target| total.saturating_sub(target.bytes_done)).sum::<u64>();
    }
    Some(left.div_ceil(rate)).filter(|left| *left > 0)
}

fn text(status: &Status<'_>) -> String {
    let mut text = format!("plan {}\n", status.plan);
    if let Some(holder) = &status.holder {
        let _ = writeln!(text, "driven by {holder}");
    }
    if let Some(UnderWay { run, seconds_left, requests_at_once }) = &status.run {
        let left = seconds_left.map(|left| render::duration(Duration::from_secs(left)));
        let left = left.map(|left| format!("; about {left} left, by the average")).unwrap_or_default();
        let _ = writeln!(text, "{}{left}", run.line());
        for RequestsAtOnce { site, now, most, why } in requests_at_once {
            let now = render::count(*now, "request", "requests");
            let _ = writeln!(text, "  {site}: {now} at once, at most {}: {}", Grouped(*most), why.sentence());
        }
    } else if let Some(run) = &status.last_run {
        let _ = writeln!(text, "last {}", run.line());
    }
    for phase in &status.phases {
        let _ = writeln!(text, "\nphase {}: {}", phase.name, phase.state);
        for dataset in &phase.datasets {
            text.push_str(&of_dataset(dataset));
        }
    }
    let _ = write!(text, "\n{}", status.next);
    text
}

fn of_dataset(dataset: &DatasetStanding) -> String {
    let mut text = format!("  {}: {}, led by {}", dataset.name, dataset.state, dataset.lead);
    if dataset.epoch > Epoch(0) {
        let _ = write!(text, " since epoch {}", dataset.epoch);
    }
    if let Some(moving) = &dataset.moving {
        let step = moving.step.map(|step| format!(", at its step {step}")).unwrap_or_default();
        let _ = write!(text, "; a move to {} is open{step}", moving.to);
    }
    if let Some(following) = &dataset.following {
        let _ = write!(text, "; its followers are {}", following.state);
    }
    if let Some(proof) = dataset.verification.as_ref().filter(|proof| proof.equal || proof.is_of_nothing()) {
        let _ = if proof.is_of_nothing() {
            write!(text, "; 0 records: nothing was compared at {}", proof.at)
        } else {
            write!(text, "; equal by {} at {}", proof.decided, proof.at)
        };
    }
    if let Some(approved) = &dataset.approved {
        let _ = write!(text, "; approved by {} at {}", approved.by, approved.at);
    }
    if let Some(waits_for) = &dataset.waits_for {
        let _ = write!(text, "; waits for {waits_for}");
    }
    text.push('\n');
    for spot in dataset.verification.iter().flat_map(|proof| &proof.blind_spots) {
        let _ = writeln!(text, "    not seen: {spot}");
    }
    if dataset.late_writes > 0 {
        let _ = writeln!(
            text,
            "    LATE: {} written at the old lead since the lead moved; {} lacks what is there, and nothing is written \
             over it: {}",
            render::count(dataset.late_writes, "record was", "records were"),
            dataset.lead,
            dataset.late_keys.join(", ")
        );
    }
    if dataset.late_equal + dataset.late_resolved > 0 {
        let (equal, resolved) = (dataset.late_equal, dataset.late_resolved);
        let _ = writeln!(
            text,
            "    late records that are settled: {} equal at both leads, {} resolved",
            Grouped(equal),
            Grouped(resolved)
        );
    }
    for Decision { key, by, at, reason } in &dataset.late_decisions {
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ =
            writeln!(text, "      {} resolved by {by} at {at}{reason}", migrate_core::model::Key::from(key.as_str()));
    }
    if let Some(table) = dataset.table.as_ref().filter(|table| table.segments > 0 || table.stream.is_some()) {
        text.push_str(&render::copied_table(table, dataset.lag_seconds));
        text.push_str(&render::down(dataset));
    }
    if let Some(total) = dataset.records_total.filter(|_| dataset.table.is_none()) {
        let known = match dataset.percent {
            Some(percent) => format!(" ({percent} %)"),
            None if dataset.total_known => String::new(),
            None => " seen so far".to_owned(),
        };
        let (done, bytes) = (dataset.records_done, ByteCount(dataset.bytes_done));
        let of = ByteCount(dataset.bytes_total.unwrap_or(0));
        let _ = writeln!(text, "    {} of {}{known}, {bytes} of {of}", Grouped(done), render::records(total));
        let mut table = Table::new(&["target", "records", "bytes", "deferred", "failed", "to delete", "damaged"]);
        for target in dataset.followers() {
            let mut cells = vec![target.target.clone(), Grouped(target.records_done).to_string()];
            cells.push(ByteCount(target.bytes_done).to_string());
            cells.extend(
                [target.deferred, target.failed, target.to_delete, target.damaged].map(|n| Grouped(n).to_string()),
            );
            table.row(cells);
        }
        let _ = writeln!(text, "{}", table.render(4));
        text.push_str(&render::down(dataset));
    }
    for failed in &dataset.failures {
        let _ =
            writeln!(text, "    failed: {} at {}: {}", Key::from(failed.key.as_str()), failed.target, failed.reason);
    }
    let listed = dataset.failures.len() as u64;
    if dataset.failures_total > listed {
        let more = dataset.failures_total - listed;
        let _ = writeln!(text, "    ... and {} more that failed; --failures lists all", Grouped(more));
    }
    text.push_str(&unclaimed(dataset));
    text
}

/// Uploads that may be left at targets, with what to do about them.
fn unclaimed(dataset: &DatasetStanding) -> String {
    let mut text = String::new();
    for upload in &dataset.unclaimed {
        let key = Key::from(upload.key.as_str());
        let shown = render::unclaimed(&key, &upload.target, &upload.upload_ids, &upload.asked_for);
        let _ = writeln!(text, "    unclaimed: {shown}; `{}` looks again", upload.next);
    }
    let more = dataset.unclaimed_total - dataset.unclaimed.len() as u64;
    if more > 0 {
        let more = render::count(more, "more upload", "more uploads");
        let _ = writeln!(text, "    ... and {more} that may be left; --failures lists all");
    }
    text
}
