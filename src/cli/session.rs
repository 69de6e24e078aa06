//! A plan that was read, with its state directory: every command begins with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    args::Global,
    error::{Code, Failure, unknown_name},
    log, operator,
    plan_file::{Origin, PlanFile},
    saved::{self, SavedPlan},
    state::{self, Root, StateDir},
    term,
};
use migrate_core::{
    lifecycle::Goal,
    model::{DatasetName, PhaseName},
    plan::{self, Plan},
    report::Redactor,
};
use migrate_engine::{
    EngineError, Sites,
    standing::{self, DatasetStanding, PhaseStanding},
};
use migrate_ledger::Ledger;

/// The real sites of a plan; what is claimed there is claimed by this operator.
pub(super) fn sites() -> Sites {
    let sites = crate::connect::sites();
    sites.claim_by(operator::me());
    sites
}

/// Finds the place of all state, from what `--state` names and from where the plan comes from.
type FindRoot = fn(Option<&Path>, &Origin) -> Result<Root, Failure>;

/// One command on one plan.
#[derive(Debug)]
pub(super) struct Session {
    origin: Origin,
    /// The saved plan that is to be carried out, with its file.
    pub(super) saved: Option<(PathBuf, SavedPlan)>,
    pub(super) plan: Plan,
    pub(super) state: StateDir,
    root: Root,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    pub(super) redactor: Redactor,
    /// Whether this is a rehearsal, whose runs are not kept.
    pub(super) rehearses: bool,
}

impl Session {
    /// Reads and checks the plan, and starts to log, with hidden keys if the plan says so.
    pub(super) fn load(plan: &PlanFile, global: &Global) -> Result<Self, Failure> {
        Self::of(plan.origin()?, global, Root::find)
    }

    /// The same, to look only: a plan without a file of its own needs no place for its state then.
    pub(super) fn load_to_look(plan: &PlanFile, global: &Global) -> Result<Self, Failure> {
        Self::of(plan.origin()?, global, Root::find_to_look)
    }

    /// The same, for a command that has nothing to do with any state.
    pub(super) fn load_without_state(plan: &PlanFile, global: &Global) -> Result<Self, Failure> {
        Self::of(plan.origin()?, global, |flag, _| Ok(Root::unused(flag)))
    }

    /// The same, to rehearse; without any plan, the one that is part of the program.
    pub(super) fn load_to_rehearse(plan: &PlanFile, global: &Global) -> Result<Self, Failure> {
        Self::of(plan.origin_or_shipped(), global, Root::find_to_rehearse)
    }

    /// The same, from a plan file or from a saved plan, whose plan file is read anew.
    pub(super) fn load_to_run(plan: &PlanFile, global: &Global) -> Result<Self, Failure> {
        let origin = plan.origin()?;
        let text = origin.read()?;
        if !saved::is_saved(&text) {
            return Self::of_text(origin, &text, global, Root::find);
        }
        let file = origin.path().to_owned();
        let saved = SavedPlan::parse(&text, &file)?;
        let session = Self::of(Origin::Named(saved.plan.file()), global, Root::find)?;
        Ok(Self { saved: Some((file, saved)), ..session })
    }

    fn of(origin: Origin, global: &Global, root: FindRoot) -> Result<Self, Failure> {
        let text = origin.read()?;
        if saved::is_saved(&text) {
            return Err(saved::only_run(origin.path(), &text));
        }
        Self::of_text(origin, &text, global, root)
    }

    fn of_text(origin: Origin, text: &str, global: &Global, root: FindRoot) -> Result<Self, Failure> {
        let plan = plan::parse(text, origin.path())?;
        log::start(global.log, plan.redact_keys);
        let root = root(global.state.as_deref(), &origin)?;
        let state = StateDir::new(&root, &plan.name);
        if let Some(note) = state.left_behind(&root, &plan.name) {
            term::tell(&note);
        }
        Ok(Self {
            origin,
            saved: None,
            state,
            root,
            quiet: global.quiet,
            verbose: global.verbose,
            redactor: Redactor::new(plan.redact_keys),
            rehearses: false,
            plan,
        })
    }

    /// The same command on another plan, with a state of its own: a rehearsal's.
    pub(super) fn rehearsing(&self, plan: Plan, state: StateDir) -> Self {
        Self {
            origin: self.origin.clone(),
            root: self.root.clone(),
            quiet: self.quiet,
            verbose: self.verbose,
            redactor: self.redactor,
            plan,
            state,
            saved: None,
            rehearses: true,
        }
    }

    /// Where the rehearsals of this plan are.
    pub(super) fn rehearsal_state(&self) -> StateDir {
        StateDir::rehearsal(&self.root, &self.plan.name)
    }

    /// Where the plan comes from.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The plan has no file, and no place for its state is named: no other command finds what this one does.
    pub(super) fn is_homeless(&self) -> bool {
        self.origin == Origin::Stdin && self.root.named().is_none()
    }

    /// A command on the same plan and state, as an operator types it. Only `run` takes a saved plan.
    pub(super) fn command(&self, verb: &str, more: &[&str]) -> String {
        match &self.saved {
            Some((saved, _)) if verb == "run" => self.command_on(saved, verb, more),
            _ => self.command_on_plan(verb, more),
        }
    }

    /// The same, never on a saved plan.
    fn command_on_plan(&self, verb: &str, more: &[&str]) -> String {
        let word = self.origin.word();
        // These look at no state that would have to be found again.
        let keeps_none = matches!(verb, "check" | "plan" | "rehearse");
        if !self.is_homeless() || keeps_none {
            return self.words(word.as_deref(), verb, more);
        }
        self.words(word.as_deref(), verb, &[more, &["--state", state::ROOT]].concat())
    }

    /// A command on a file that stands for the same plan, and on the same state.
    fn command_on(&self, file: &Path, verb: &str, more: &[&str]) -> String {
        self.words(Some(&file.to_string_lossy()), verb, more)
    }

    fn words(&self, plan: Option<&str>, verb: &str, more: &[&str]) -> String {
        let root = self.root.named().map(Path::to_string_lossy);
        let mut words = vec!["migrate", verb];
        words.extend(plan);
        words.extend(more);
        if let Some(root) = &root {
            words.extend(["--state", root]);
        }
        term::quoted(words)
    }

    /// The command that takes everything as far as this build can.
    pub(super) fn run_command(&self) -> String {
        match &self.saved {
            Some((saved, plan)) if plan.datasets.is_empty() => self.run_command_on(saved),
            // A plan that was saved for some datasets does not reach the others.
            _ => self.command_on_plan("run", self.as_far_as_it_can()),
        }
    }

    /// The same, from a file that stands for the same plan.
    pub(super) fn run_command_on(&self, file: &Path) -> String {
        self.command_on(file, "run", self.as_far_as_it_can())
    }

    fn as_far_as_it_can(&self) -> &'static [&'static str] {
        if self.cannot_cut_over() { &["--until", "verified"] } else { &[] }
    }

    /// The plan's cutovers need something that is not built yet.
    pub(super) fn cannot_cut_over(&self) -> bool {
        self.plan.datasets().any(|dataset| dataset.unsupported.iter().any(|key| key.cutover_only))
    }

    /// How far this build can take the plan.
    pub(super) fn goal(&self) -> Goal {
        if self.cannot_cut_over() { Goal::Verified } else { Goal::CutOver }
    }

    /// The plan moves a lead that is not there yet, and this build can move it. After the switch of its route a
    /// lead is there once every client has read the route and the old lead was looked at once more.
    pub(super) fn leads_to_move(&self, phases: &[PhaseStanding]) -> bool {
        let moves = |one: &DatasetStanding| {
            self.plan.datasets().any(|dataset| dataset.name == one.name && dataset.cutover.is_some())
        };
        let mut all = phases.iter().flat_map(|phase| &phase.datasets);
        !self.cannot_cut_over() && all.any(|one| moves(one) && !one.lifecycle.reached(Goal::CutOver))
    }

    /// The datasets of these names, which the plan must have.
    pub(super) fn datasets(&self, names: &[String]) -> Result<Vec<DatasetName>, Failure> {
        let known = || self.plan.datasets().map(|dataset| &dataset.name);
        let find = |name: &String| {
            known()
                .find(|known| known.as_str() == name)
                .cloned()
                .ok_or_else(|| unknown_name("dataset", name, known().map(DatasetName::as_str), &self.plan))
        };
        names.iter().map(find).collect()
    }

    /// The phases of these names, which the plan must have.
    pub(super) fn phases(&self, names: &[String]) -> Result<Vec<PhaseName>, Failure> {
        let known = || self.plan.phases.iter().map(|phase| &phase.name);
        let find = |name: &String| {
            known()
                .find(|known| known.as_str() == name)
                .cloned()
                .ok_or_else(|| unknown_name("phase", name, known().map(PhaseName::as_str), &self.plan))
        };
        names.iter().map(find).collect()
    }

    /// Where everything stands, judged by `goal`; lists at most `failures_max` failed records of each dataset.
    pub(super) async fn standing(
        &self,
        ledger: Option<&Ledger>,
        goal: Goal,
        failures_max: usize,
    ) -> Result<Vec<PhaseStanding>, EngineError> {
        standing::standing(&self.plan, ledger, goal, failures_max, &self.run_command()).await
    }

    /// The ledger, read-only; `None` if nothing has begun.
    pub(super) fn ledger_to_read(&self) -> Result<Option<Ledger>, Failure> {
        Ledger::open_read_only(&self.state.ledger(), &self.plan.name).map_err(|error| Failure::ledger(&error))
    }

    /// The ledger for writing; the caller must hold the lock.
    pub(super) fn ledger_to_write(&self) -> Result<Ledger, Failure> {
        Ledger::open(&self.state.ledger(), &self.plan.name).map_err(|error| Failure::ledger(&error))
    }
}

/// Runs a future to its end on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Incomplete, format!("failed to start: {error}")))?;
    runtime.block_on(work)
}

/// Closes a ledger that is no longer in use.
pub(super) async fn close(ledger: Arc<Ledger>) -> Result<(), Failure> {
    match Arc::try_unwrap(ledger) {
        Ok(ledger) => ledger.close().await.map_err(|error| Failure::ledger(&error)),
        // A task that was cancelled still holds it: dropping the last handle closes it as well.
        Err(_shared) => Ok(()),
    }
}

/// What was typed, for the next process that finds the lock taken.
pub(super) fn typed() -> String {
    typed_but("")
}

/// The same without a flag.
pub(super) fn typed_but(flag: &str) -> String {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<_> = words.filter(|word| word != flag || word.is_empty()).collect();
    term::quoted(std::iter::once("migrate").chain(words.iter().map(String::as_str)))
}
