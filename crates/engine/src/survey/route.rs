//! Looks at the route of a dataset whose lead is to move.

use crate::{
    cutover::{
        moves::Move,
        steps::{self, Step},
    },
    error::EngineError,
    survey::{
        preview::{CutoverPreview, DatasetPreview},
        surveyor::Surveyor,
    },
};
use migrate_core::{model::Epoch, plan::Dataset};

impl Surveyor<'_> {
    /// Previews the cutover, and blocks it if the route does not allow it.
    pub(super) async fn look_at_route(&self, dataset: &Dataset, seen: &mut DatasetPreview) -> Result<(), EngineError> {
        let Some(what) = Move::of(dataset) else { return Ok(()) };
        if dataset.unsupported.iter().any(|key| key.cutover_only) {
            return Ok(());
        }
        let steps = steps::steps(&what);
        let describe = |step: &dyn Step| format!("{}: {}", step.name().as_str(), step.describe(&what));
        let preview = seen.cutover.insert(CutoverPreview {
            from: what.from.clone(),
            to: what.to.clone(),
            route: what.cutover.route.to_string(),
            epoch: None,
            steps: steps.iter().map(|step| describe(&**step)).collect(),
            conditions: None,
            waits_seconds: (what.cutover.quiet + what.cutover.route_max_age).as_secs(),
        });
        let route = self.inspection.open_route(dataset, &what.cutover.route, self.options.probe).await?;
        if self.options.probe {
            preview.conditions = Some(route.conditions());
            route.check()?;
        }
        let shown = route.read().await?;
        preview.epoch = Some(shown.as_ref().map_or(Epoch(0), |shown| shown.document.epoch));
        if let Some(driver) = shown.as_ref().and_then(|shown| shown.document.driver.as_ref())
            && self.inspection.driver_id().await?.as_ref() != Some(&driver.ledger)
        {
            let (dataset, driver) = (dataset.name.clone(), Box::new(driver.clone()));
            seen.blocks.push(EngineError::Driven { dataset, driver }.to_string());
        }
        if let Some(shown) = shown.filter(|shown| shown.document.lead != what.from) {
            seen.blocks.push(format!(
                "the route {} says that {} leads since epoch {}, and the plan moves the lead from {}",
                route.location(),
                shown.document.lead,
                shown.document.epoch,
                what.from
            ));
            preview.from = shown.document.lead;
        }
        Ok(())
    }
}
