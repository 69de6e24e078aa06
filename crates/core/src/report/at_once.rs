//! [`RequestsAtOnce`]: how many requests run at once at a site, and why.

use crate::{model::SiteName, report::words};
use serde::{Deserialize, Serialize};

/// How many requests run at once at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsAtOnce {
    /// The site's name in the plan.
    pub site: SiteName,
    /// So many may run at once now.
    pub now: u64,
    /// It is never more than this.
    pub most: u64,
    /// Why it is not another number.
    pub why: WhyAtOnce,
}

/// Why as many requests may run at once as do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyAtOnce {
    /// Nothing was measured yet.
    Beginning,
    /// More are being tried, since requests wait for their turn.
    Growing,
    /// Fewer are being tried, since they may be served as fast.
    TryingFewer,
    /// More were tried, and it was not worth it.
    Level,
    /// The site has asked for fewer.
    Throttled,
    /// The plan, or an operator, allows no more.
    Limit,
    /// No site is sent more.
    Most,
    /// It is always the same number at a site of this kind.
    Fixed,
}

impl RequestsAtOnce {
    /// On one line, for people: "aws: 128 requests at once, growing".
    pub fn line(&self) -> String {
        let Self { site, now, why, .. } = self;
        format!("{site}: {}, {}", words::count(*now, "request", "requests at once"), why.word())
    }

    /// Whether the number tells something of the site, and not only with how many this program begins.
    pub fn is_found(&self) -> bool {
        !matches!(self.why, WhyAtOnce::Beginning | WhyAtOnce::Fixed)
    }
}

impl WhyAtOnce {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Beginning,
        Self::Growing,
        Self::TryingFewer,
        Self::Level,
        Self::Throttled,
        Self::Limit,
        Self::Most,
        Self::Fixed,
    ];

    /// The reason in few words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Growing => "growing",
            Self::TryingFewer => "trying fewer",
            Self::Level => "level",
            Self::Throttled => "throttled",
            Self::Limit => "at its limit",
            Self::Most => "at the most",
            Self::Fixed => "fixed",
        }
    }

    /// The reason as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Beginning => "nothing was measured yet",
            Self::Growing => "more are being tried while requests wait for their turn",
            Self::TryingFewer => "fewer are being tried, which may be served as fast",
            Self::Level => "more were tried, and it was not worth it",
            Self::Throttled => "the site has asked for fewer",
            Self::Limit => "the plan, or an operator, allows no more",
            Self::Most => "no site is sent more at once",
            Self::Fixed => "it is always so many at a site of this kind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_and_why() {
        let site = SiteName::new("aws").unwrap();
        let at_once = |now, why| RequestsAtOnce { site: site.clone(), now, most: 512, why };
        assert_eq!(at_once(128, WhyAtOnce::Growing).line(), "aws: 128 requests at once, growing");
        assert_eq!(at_once(1, WhyAtOnce::Throttled).line(), "aws: 1 request, throttled");
        let json = r#"{"site":"aws","now":128,"most":512,"why":"trying_fewer"}"#;
        assert_eq!(serde_json::to_string(&at_once(128, WhyAtOnce::TryingFewer)).unwrap(), json);
        assert_eq!(serde_json::from_str::<RequestsAtOnce>(json).unwrap(), at_once(128, WhyAtOnce::TryingFewer));
    }

    #[test]
    fn each_reason_has_words_of_its_own() {
        let words: std::collections::BTreeSet<_> = WhyAtOnce::ALL.into_iter().map(WhyAtOnce::word).collect();
        let sentences: std::collections::BTreeSet<_> = WhyAtOnce::ALL.into_iter().map(WhyAtOnce::sentence).collect();
        assert_eq!((words.len(), sentences.len()), (8, 8));
    }
}
