//! What the display tests show: the events of a rehearsal as it was, up to the final verification of its second phase.

use std::{path::Path, time::Duration};

use super::scene::{Notes, Scene};
use migrate_core::{
    lifecycle::{Goal, Lead, State},
    model::{DatasetName, Epoch, PhaseName, SiteName},
    plan::{self, Plan},
    report::{Advance, EventKind, RequestsAtOnce, TargetProgress, WhyAtOnce},
    shard::Tally,
};

pub(super) fn plan() -> Plan {
    let text = include_str!("../../../plans/global-expansion.toml");
    plan::parse(text, Path::new("plans/global-expansion.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn name(name: &str) -> DatasetName {
    DatasetName::new(name).unwrap()
}

fn state(dataset: &str, state: State) -> EventKind {
    EventKind::DatasetState { dataset: name(dataset), state, proved: None }
}

fn ended(dataset: &str, records: u64, bytes: u64) -> EventKind {
    let tally = Tally { records, bytes, ..Tally::default() };
    let target = TargetProgress { target: String::new(), tally, deferred: 0, failed: 0 };
    EventKind::DatasetEnded { dataset: name(dataset), targets: vec![target], source_bytes_read: bytes }
}

pub(super) fn copying(dataset: &str, done: u64, total: u64, bytes: u64, waits_for: Option<&str>) -> EventKind {
    let bytes_total = (bytes > 0).then_some(bytes);
    #[expect(clippy::cast_precision_loss, reason = "few records")]
    let fraction = Some(done as f64 / total as f64);
    EventKind::Progress {
        dataset: name(dataset),
        targets: Vec::new(),
        advance: Advance {
            fraction,
            records_done: done,
            records_total: Some(total),
            bytes_done: bytes * done / total,
            bytes_total,
            rate_bytes_per_second: Some(bytes / 9 + 1),
            eta_seconds: Some(9 * (total - done) / total + 1),
        },
        source_bytes_read: 0,
        target_bytes_written: 0,
        waits_for: waits_for.map(str::to_owned),
        requests_at_once: Vec::new(),
    }
}

fn verifying(dataset: &str, compared: u64, expected: u64) -> EventKind {
    #[expect(clippy::cast_precision_loss, reason = "few records")]
    let fraction = Some(compared as f64 / expected as f64);
    let (dataset, expected) = (name(dataset), Some(expected));
    let (eta_seconds, requests_at_once) = (Some(2), Vec::new());
    EventKind::Verifying {
        dataset,
        compared,
        fraction,
        expected,
        eta_seconds,
        shards_ended: 0,
        shards: 1,
        requests_at_once,
    }
}

/// So many requests run at once at sites.
pub(super) fn at_once(sites: &[(&str, u64, WhyAtOnce)]) -> Vec<RequestsAtOnce> {
    let told = |(name, now, why): &(&str, u64, WhyAtOnce)| RequestsAtOnce {
        site: SiteName::new(name).unwrap(),
        now: *now,
        most: 512,
        why: *why,
    };
    sites.iter().map(told).collect()
}

fn verified(compared: u64) -> State {
    State::Verified { pass: 1, level: "checksum".to_owned(), compared }
}

fn led_by(site: &str) -> State {
    let lead = Lead { lead: SiteName::new(site).unwrap(), epoch: Epoch(1) };
    State::CutOver { pass: 1, lead, late: 0, following: None }
}

fn begins(phase: &str) -> EventKind {
    EventKind::PhaseBegan { phase: PhaseName::new(phase).unwrap() }
}

/// The events, each at its time in milliseconds. In between are those at which a test wants to look.
pub(super) fn events() -> Vec<(u64, EventKind)> {
    let shop = [("storefront", 309, 2 << 20), ("catalogue-images", 310, 46 << 20), ("order-documents", 309, 5 << 20)];
    let mut events = vec![(500, begins("e-commerce"))];
    events.extend(shop.map(|(dataset, ..)| (510, state(dataset, State::Copying { pass: 1 }))));
    events.extend(shop.map(|(dataset, records, bytes)| (2_000, copying(dataset, records / 2, records, bytes, None))));
    for (at, (dataset, records, bytes)) in (4_000..).step_by(100).zip(shop) {
        events.push((at, ended(dataset, records, bytes)));
        events.push((at + 10, state(dataset, verified(2 * records))));
        events.push((at + 20, state(dataset, led_by("singapore"))));
    }
    let tables = ["accounts", "messages"];
    events.push((5_000, begins("accounts-and-messaging")));
    for dataset in tables {
        events.push((5_100, ended(dataset, 300, 0)));
        events.push((5_200, state(dataset, verified(300))));
    }
    for step in ["gate", "quiet", "drain", "final verify"] {
        for dataset in tables {
            if step == "final verify" {
                events.push((5_490, EventKind::BroughtOver { dataset: name(dataset), records: 12 }));
            }
            events.push((5_500, EventKind::CutoverStep { dataset: name(dataset), step, detail: String::new() }));
        }
    }
    events.push((7_000, verifying("accounts", 343, 418)));
    events.push((7_100, verifying("messages", 380, 418)));
    events
}

/// The scene after all events that were told up to this time.
pub(super) fn scene(until: u64) -> Scene {
    let plan = plan();
    let mut scene = Scene::of(&plan, &["rehearsal", "seed 1"], Goal::CutOver, plan.datasets());
    for (at, told) in events().into_iter().filter(|(at, _)| *at <= until) {
        scene.take(&told, Duration::from_millis(at));
    }
    let notes: Notes = std::sync::Arc::new(|name: &DatasetName| {
        ["accounts", "messages"].contains(&name.as_str()).then(|| "app wrote 40×".to_owned())
    });
    scene.note(&notes);
    scene
}
