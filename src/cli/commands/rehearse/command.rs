//! Holds a rehearsal: a clean state, and a local cloud that ends with it.

use crate::cli::{
    advise,
    args::Global,
    clock,
    commands::rehearse::{args::RehearseArgs, rehearsal::Rehearsal},
    error::{Code, Failure, with_causes},
    session::{self, Session},
    term,
};
use migrate_engine::Clock;
use migrate_rehearsal::{Cloud, CloudError, CloudOptions};

pub(in crate::cli) fn rehearse(args: &RehearseArgs, global: &Global) -> Result<Code, Failure> {
    let clock = clock::clock();
    rehearsed(args, global, &clock).map_err(advise::completed).inspect_err(|failure| {
        if args.json {
            let mut line = failure.to_json();
            line["event"] = "error".into();
            term::answer_line(&clock.stamp(line));
        }
    })
}

fn rehearsed(args: &RehearseArgs, global: &Global, clock: &Clock) -> Result<Code, Failure> {
    let real = Session::load_to_rehearse(&args.plan, global)?;
    let state = real.rehearsal_state();
    state.prepare()?;
    let _lock = state.lock(&session::typed())?;
    state.clear().map_err(|error| {
        let message = format!("failed to clear the last rehearsal in {}: {error}", state.path().display());
        Failure::new(Code::Incomplete, message).mended_by("remove it by hand")
    })?;
    let root = state.path().join("sites");
    session::block_on(async {
        let options = CloudOptions { seed: args.seed, scale: args.scale, ..CloudOptions::default() };
        tell(args, global, &format!("rehearsing {}: a local cloud for every site of the plan", real.plan.name));
        let cloud = Cloud::start(&real.plan, &root, &options).await.map_err(|error| no_cloud(&error))?;
        let session = real.rehearsing(cloud.plan().clone(), state);
        let rehearsal = Rehearsal { args, clock: clock.clone(), real: &real, session: &session, cloud: &cloud };
        let ended = rehearsal.hold().await;
        cloud.stop().await;
        ended
    })
}

fn tell(args: &RehearseArgs, global: &Global, text: &str) {
    if !args.json && !global.quiet {
        term::tell(text);
    }
}

fn no_cloud(error: &CloudError) -> Failure {
    Failure::new(Code::Incomplete, format!("the local cloud did not come up: {}", with_causes(error)))
}
