//! What values of a plan look like, for the schema: an editor then marks a wrong one while it is typed. The checks
//! themselves are in [`values`](crate::plan::values) and [`location`](crate::plan::location), and say more.

pub(super) const SIZE: &str = "^[0-9]+(\\.[0-9]+)? *([kKMGT]?B|[KMGTP]iB)$";
pub(super) const RATE: &str = "^[0-9]+(\\.[0-9]+)? *([kKMGT]?B|[KMGTP]iB)/s$";
pub(super) const DURATION: &str = "^([0-9]+(ms|s|m|min|h|d))+$";
pub(super) const SHARE: &str = "^[0-9]+(\\.[0-9])? *%$";
pub(super) const WINDOW: &str = "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9] +[A-Za-z].*$";
pub(super) const LOCATION: &str = "^(s3://[^/]+/[^/]+(/.*)?|dynamodb://[^/]+/[^/]+/?|file://[^/]+/.+)$";
pub(super) const ROUTE: &str = "^(s3://[^/]+/[^/]+/.*[^/]|dynamodb://[^/]+/[^/]+/?|file://[^/]+/.*[^/])$";
pub(super) const ENDPOINT: &str = "^https?://[^/]+/?$";

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;
    use crate::plan::{
        endpoint::host_of,
        location::{Location, Route},
        values,
    };

    /// The pattern takes all that the check takes, and most of what the check refuses it refuses too.
    fn holds(pattern: &str, is_good: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        let regex = Regex::new(pattern).unwrap();
        for text in good {
            assert!(is_good(text), "the check refuses {text:?}");
            assert!(regex.is_match(text), "{pattern} refuses {text:?}");
        }
        for text in bad {
            assert!(!is_good(text), "the check takes {text:?}");
            assert!(!regex.is_match(text), "{pattern} takes {text:?}");
        }
    }

    #[test]
    fn the_patterns_are_those_of_the_checks() {
        let sizes = ["1B", "16 MB", "1.5GiB", "2kB", "2KB", "3TB", "1PiB", "7TiB"];
        holds(SIZE, |text| values::size(text).is_ok(), &sizes, &["", "16", "16mib", "5MB/s", "-1MB", "1PB", "1..5MB"]);
        let rates = ["400MB/s", "512KiB/s", "1.5 GB/s"];
        holds(RATE, |text| values::rate(text).is_ok(), &rates, &["400MB", "400mb/s", "/s"]);
        let durations = ["30s", "1m30s", "250ms", "2h", "7d", "5min"];
        holds(DURATION, |text| values::duration(text).is_ok(), &durations, &["", "30", "s", "1.5s", "30 s", "1w"]);
        holds(SHARE, |text| values::share(text).is_ok(), &["10%", "2.5%", "100 %"], &["10", "%", "0.05%", "-1%"]);
        let windows = ["22:00-07:00 Asia/Shanghai", "00:00-24:00 UTC"];
        holds(WINDOW, |text| values::window(text).is_ok(), &windows, &["22-07 UTC", "22:00-07:00", "22:60-07:00 UTC"]);
        let locations = ["s3://a/bucket", "s3://a/bucket/x/", "dynamodb://a/table", "file://a/x/y"];
        let wrong = ["a/b", "gs://a/b", "s3://a", "s3:///b", "dynamodb://a/table/x", "file://a/"];
        holds(LOCATION, |text| Location::parse(text).is_ok(), &locations, &wrong);
        let routes = ["s3://a/bucket/r.json", "dynamodb://a/routes", "file://a/routes/r.json"];
        let wrong = ["s3://a/bucket", "s3://a/bucket/x/", "file://a/routes/", "file://a"];
        holds(ROUTE, |text| Route::parse(text).is_ok(), &routes, &wrong);
        let endpoints = ["https://s3.example.com", "http://127.0.0.1:9000/"];
        holds(ENDPOINT, |text| host_of(text).is_ok(), &endpoints, &["s3.example.com", "https://a/b", "ftp://a"]);
    }
}
