//! Limits from a command: the keys and values of a plan's `limits`, one by one.

use crate::plan::{site::Window, values};

/// The keys of a site's limits.
pub const SITE_KEYS: [&str; 4] = ["bandwidth", "requests_per_second", "requests_at_once", "window"];
/// The keys of a dataset's limits that apply to objects.
pub const DATASET_KEYS: [&str; 2] = ["bandwidth", "requests_per_second"];

/// One limit with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Bytes per second, read and written together.
    Bandwidth(u64),
    /// Requests per second.
    RequestsPerSecond(u32),
    /// Requests that run at once.
    RequestsAtOnce(u32),
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
        "requests_per_second" => requests(text).map(Limit::RequestsPerSecond),
        "requests_at_once" => requests(text).map(Limit::RequestsAtOnce),
        "window" => values::window(text).map(Limit::Window).map_err(told),
        _ => Err(format!("there is no limit {key:?}; the limits are {}", SITE_KEYS.join(", "))),
    }
}

fn requests(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{text:?} is not a number of requests; write a whole number from 1 up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_in_a_plan_and_are_refused_with_a_mend() {
        assert_eq!(limit("bandwidth", "50MB/s"), Ok(Limit::Bandwidth(50_000_000)));
        assert_eq!(limit("requests_per_second", "200"), Ok(Limit::RequestsPerSecond(200)));
        assert_eq!(limit("requests_at_once", "64"), Ok(Limit::RequestsAtOnce(64)));
        assert!(matches!(limit("window", "22:00-07:00 Asia/Shanghai"), Ok(Limit::Window(_))));
        let wrong = [
            ("bandwidth", "50MB"),
            ("requests_per_second", "0"),
            ("requests_at_once", "0"),
            ("window", "night"),
            ("speed", "1"),
        ];
        for (key, text) in wrong {
            let wrong = limit(key, text).unwrap_err();
            assert!(wrong.contains("; "), "{key}={text}: {wrong}");
        }
    }
}
