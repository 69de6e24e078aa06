//! What a plan asks for and this build cannot carry out: no key is ever ignored.

use super::{checked::Plan, dataset::Dataset, diagnostics::Diagnostics};

impl Plan {
    /// What is not built of all that these datasets ask for, as the problems of a plan are told; with `cutovers` also
    /// what only their cutovers need.
    pub fn not_built<'p>(
        &'p self,
        datasets: impl IntoIterator<Item = &'p Dataset>,
        cutovers: bool,
    ) -> Option<Diagnostics> {
        let keys = datasets.into_iter().flat_map(|dataset| {
            let with_cutover = cutovers && dataset.cutover.is_some();
            dataset.unsupported.iter().filter(move |key| with_cutover || !key.cutover_only)
        });
        Diagnostics::of(&self.file, keys.map(|key| key.problem.clone()).collect())
    }
}
