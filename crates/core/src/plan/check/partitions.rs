//! Partitions: which records each target takes.

use crate::{
    expression::{Expression, Subject},
    plan::{
        check::{context::Context, expression},
        dataset::{Filter, Target},
        diagnostics::Spot,
        location::{Location, Scheme},
        syntax,
    },
};

/// Either every target takes all records, or each names its own; no two take the same. Compiles their expressions.
pub(super) fn check(
    context: &mut Context<'_>,
    spots: &[Spot<'_>],
    written: &syntax::Dataset,
    targets: &mut [Target],
    subject: Subject,
) {
    // A target that was not read has no place in the list, so each text is found by the path of its target.
    let text_of = |at: &Spot<'_>| {
        let index = at.path().strip_suffix(']')?.rsplit_once(".target[")?.1.parse::<usize>().ok()?;
        written.target.get(index)?.filter.as_deref().map(str::trim)
    };
    let texts: Vec<Option<&str>> = spots.iter().map(text_of).collect();
    let partitioned = texts.iter().any(Option::is_some);
    for (index, (target, at)) in targets.iter_mut().zip(spots).enumerate() {
        let at = &at.key("where");
        let has_twin = texts[..index].contains(&texts[index]);
        target.filter = match texts[index] {
            None if partitioned => {
                let message = "other targets say which records they take, and this one does not".to_owned();
                context.report.at(at, message, "add where = \"...\", or where = \"otherwise\"".to_owned());
                None
            }
            None => None,
            Some("otherwise") => {
                if !texts.iter().flatten().any(|text| *text != "otherwise") {
                    let mend = "take \"where\" out: the target takes everything".to_owned();
                    context.report.at(at, "\"otherwise\" needs another target with an expression", mend);
                }
                if has_twin {
                    let mend = "write an expression for one of them".to_owned();
                    context.report.at(at, "only one target may take what is left", mend);
                }
                Some(Filter::Otherwise)
            }
            Some(rule) => {
                if has_twin {
                    let mend = "a record must match exactly one target".to_owned();
                    context.report.at(at, "another target has the same expression", mend);
                }
                expression::check(context, at, rule, &[subject]).map(Filter::Rule)
            }
        };
    }
}

/// The objects of a directory have neither metadata nor tags: an expression that asks for them fails on each.
pub(super) fn check_directory(
    context: &mut Context<'_>,
    source: &Location,
    spot: &Spot<'_>,
    filter: Option<&Expression>,
    target_spots: &[Spot<'_>],
    targets: &[Target],
) {
    let mut rules: Vec<_> = filter.map(|filter| (filter, spot.key("where"))).into_iter().collect();
    for (target, at) in targets.iter().zip(target_spots) {
        if let Some(Filter::Rule(rule)) = &target.filter {
            rules.push((rule, at.key("where")));
        }
    }
    let is_of_files = |rule: &Expression| source.scheme == Scheme::File && rule.subject() == Subject::Object;
    for (rule, at) in rules.into_iter().filter(|(rule, _)| is_of_files(rule)) {
        if let Some(name) = ["metadata", "tags"].into_iter().find(|name| rule.needs().contains(*name)) {
            let message = format!("a file has no {name}: the expression would fail on each of them");
            context.report.at(&at, message, "use object.key and object.size".to_owned());
        }
    }
}
