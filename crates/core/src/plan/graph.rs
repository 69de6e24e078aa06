//! The order of phases.

/// The order of `count` phases in which each comes after those that `after` names. Phases that may come in any
/// order stay as the plan lists them. `after[i]` holds indices.
///
/// # Errors
///
/// A cycle: indices, each of which must come after the next, with the first repeated at the end.
pub fn order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut placed = vec![false; after.len()];
    let mut order = Vec::with_capacity(after.len());
    while order.len() < after.len() {
        let ready = (0..after.len()).find(|&phase| !placed[phase] && after[phase].iter().all(|&before| placed[before]));
        let Some(ready) = ready else {
            return Err(cycle(after, &placed));
        };
        placed[ready] = true;
        order.push(ready);
    }
    Ok(order)
}

/// Whether `phase` must come after `before`, directly or through others.
pub fn comes_after(after: &[Vec<usize>], phase: usize, before: usize) -> bool {
    let mut seen = vec![false; after.len()];
    let mut open = vec![phase];
    while let Some(phase) = open.pop() {
        for &next in &after[phase] {
            if next == before {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true) {
                open.push(next);
            }
        }
    }
    false
}

/// Every remaining phase waits for a remaining one, so following them finds a cycle.
fn cycle(after: &[Vec<usize>], placed: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut phase = placed.iter().position(|placed| !placed).expect("a phase is left");
    loop {
        if let Some(start) = path.iter().position(|&seen| seen == phase) {
            path.drain(..start);
            path.push(phase);
            return path;
        }
        path.push(phase);
        phase = *after[phase].iter().find(|&&next| !placed[next]).expect("it waits for one that is left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_is_stable() {
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![1], vec![2], vec![]]), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn a_cycle_is_shown_without_what_leads_to_it() {
        assert_eq!(order(&[vec![1], vec![2], vec![1], vec![]]), Err(vec![1, 2, 1]));
        assert_eq!(order(&[vec![0]]), Err(vec![0, 0]));
    }

    #[test]
    fn coming_after_is_transitive() {
        let after = [vec![], vec![0], vec![1], vec![]];
        assert!(comes_after(&after, 2, 0) && comes_after(&after, 1, 0));
        assert!(!comes_after(&after, 0, 2) && !comes_after(&after, 3, 0) && !comes_after(&after, 2, 2));
    }

    proptest! {
        #[test]
        fn an_order_respects_every_edge_and_a_cycle_is_one(
            after in (1_usize..8).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(0..n, 0..3), n))
        ) {
            match order(&after) {
                Ok(order) => {
                    let place = |phase: usize| order.iter().position(|&p| p == phase).unwrap();
                    prop_assert_eq!(order.len(), after.len());
                    for (phase, before) in after.iter().enumerate() {
                        prop_assert!(before.iter().all(|&b| place(b) < place(phase)));
                    }
                }
                Err(cycle) => {
                    prop_assert!(cycle.len() >= 2 && cycle.first() == cycle.last());
                    prop_assert!(cycle.windows(2).all(|edge| after[edge[0]].contains(&edge[1])));
                }
            }
        }
    }
}
