//! Limits from a command: the keys and values of a plan's `limits`, one by one.

use crate::plan::{site::Window, values};

/// The keys of a site's limits.
pub const SITE_KEYS: [&str; 3] = ["bandwidth", "requests_per_second", "window"];
/// The keys of a dataset's limits that apply to objects.
pub const DATASET_KEYS: [&str; 2] = ["bandwidth", "requests_per_second"];

/// One limit with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Bytes per second, read and written together.
    Bandwidth(u64),
    /// Requests per second.
    RequestsPerSecond(u32),
    /// The hours of the day in which work may be done.
    Window(Window),
}

/// Reads a limit.
///
/// # Errors
///
/// The problem, and how to mend it, in one sentence.
pub fn limit(key: &str, text: &str) -> Result<Limit, String> {
    let told = |bad: values::Bad| format!("{}; {}", bad.message, bad.mend);
    match key {
        "bandwidth" => values::rate(text).map(Limit::Bandwidth).map_err(told),
        "requests_per_second" => match text.parse() {
            Ok(rate @ 1..) => Ok(Limit::RequestsPerSecond(rate)),
            _ => Err(format!("{text:?} is not a number of requests; write a whole number from 1 up")),
        },
        "window" => values::window(text).map(Limit::Window).map_err(told),
        _ => Err(format!("there is no limit {key:?}; the limits are {}", SITE_KEYS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_in_a_plan_and_are_refused_with_a_mend() {
        assert_eq!(limit("bandwidth", "50MB/s"), Ok(Limit::Bandwidth(50_000_000)));
        assert_eq!(limit("requests_per_second", "200"), Ok(Limit::RequestsPerSecond(200)));
        assert!(matches!(limit("window", "22:00-07:00 Asia/Shanghai"), Ok(Limit::Window(_))));
        for (key, text) in [("bandwidth", "50MB"), ("requests_per_second", "0"), ("window", "night"), ("speed", "1")] {
            let wrong = limit(key, text).unwrap_err();
            assert!(wrong.contains("; "), "{key}={text}: {wrong}");
        }
    }
}
