//! How wide a gate is worth to be: found by trying, and no part of it asks a clock.
//!
//! While requests wait for a slot, a window of them is measured. Then a wider gate is tried. It stays if it serves more
//! requests a second, since the store, or the way to it, has room; it is taken back if its requests only take longer.
//! If it serves a little more, so much wider a gate is tried next: something else may be the bound from there on, like the
//! processor that all sites share. From time to time a narrower one is tried, and stays if it serves as many. After each
//! try that changed nothing, the next one waits longer.

use std::time::Duration;

use migrate_core::report::WhyAtOnce;

/// A try must bring this share of what it would bring if the store had room for all of it. Below it, what a window
/// shows may be chance.
const GAIN_MIN: f64 = 0.25;
/// A gate that was not worth it shows so much more served at least, if a smaller step may be.
const SHOWN_MIN: f64 = 1.1;
/// A narrower gate stays if it serves this share of the requests.
const KEPT_MIN: f64 = 0.97;
/// Windows until another try, after one that changed nothing; doubled with each such try, up to the second.
const REST: u32 = 4;
const REST_MAX: u32 = 64;
/// How much of the newest window is in the rate that the next try is compared with.
const NEWEST: f64 = 0.5;

/// What requests that ended show of a gate of one width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Requests that were served.
    pub(super) served: u64,
    /// How long it took.
    pub(super) time: Duration,
}

impl Window {
    fn rate(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "requests of a window are few")]
        let served = self.served as f64;
        served / self.time.as_secs_f64().max(1e-9)
    }
}

/// Finds the width of one gate, between a least and a greatest one.
#[derive(Debug)]
pub(super) struct Growth {
    least: usize,
    most: usize,
    /// The width that is known to be worth it.
    width: usize,
    /// Requests a second at this width, once they were measured.
    rate: Option<f64>,
    /// The width that is being tried in its place.
    trying: Option<usize>,
    rest: u32,
    pause: u32,
    /// Whether the next try is a narrower gate.
    narrower: bool,
    /// Whether every try so far was worth it, but for one that may be chance.
    fresh: bool,
    /// Wider gates in a row that were not worth it.
    doubts: u32,
    /// Whether the store has asked for fewer since the last try.
    refused: bool,
}

impl Growth {
    pub(super) fn new(least: usize, most: usize) -> Self {
        let (width, pause) = (least, REST);
        let (rate, trying, rest) = (None, None, 0);
        let (narrower, fresh, doubts, refused) = (false, true, 0, false);
        Self { least, most, width, rate, trying, rest, pause, narrower, fresh, doubts, refused }
    }

    /// The width to use now.
    pub(super) fn width(&self) -> usize {
        self.trying.unwrap_or(self.width)
    }

    /// As many as this, and no more.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Why the width is as it is.
    pub(super) fn why(&self) -> WhyAtOnce {
        match self.trying {
            _ if self.width() >= self.most => WhyAtOnce::Most,
            Some(tried) if tried < self.width => WhyAtOnce::TryingFewer,
            Some(_) => WhyAtOnce::Growing,
            None if self.refused => WhyAtOnce::Throttled,
            None if self.rest > 0 => WhyAtOnce::Level,
            None => WhyAtOnce::Beginning,
        }
    }

    /// Keeps the width between other bounds from now on.
    pub(super) fn bound(&mut self, least: usize, most: usize) {
        if (least, most) != (self.least, self.most) {
            let width = self.width.clamp(least, most);
            let rate = self.rate.filter(|_| width == self.width);
            (self.least, self.most, self.width, self.rate) = (least, most, width, rate);
            self.trying = None;
            // What was refused is not tried soon, whatever the bounds are.
            if !self.refused {
                (self.rest, self.pause) = (0, REST);
            }
        }
    }

    /// Whether there is anything to find.
    pub(super) fn is_fixed(&self) -> bool {
        self.least == self.most
    }

    /// Whether every try so far was worth it, but for one that may be chance.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Takes what a window has shown of the present width, in which requests waited for a slot all the time.
    pub(super) fn ended(&mut self, window: Window) {
        let rate = window.rate();
        if let Some(tried) = self.trying.take() {
            self.judge(tried, rate);
        } else {
            self.rate = Some(self.rate.map_or(rate, |before| NEWEST.mul_add(rate - before, before)));
            self.rest = self.rest.saturating_sub(1);
        }
        if self.trying.is_none() && self.rest == 0 {
            self.trying = self.next();
            self.refused &= self.trying.is_none();
        }
    }

    /// A try has failed: the store could not even answer.
    pub(super) fn give_up(&mut self) {
        if self.trying.take().is_some() {
            self.tire();
        }
    }

    /// The store has asked for fewer requests: what is above the present width is not tried for long.
    pub(super) fn throttled(&mut self) {
        (self.trying, self.fresh, self.refused) = (None, false, true);
        (self.rate, self.pause, self.rest) = (None, REST_MAX, REST_MAX);
    }

    fn judge(&mut self, tried: usize, rate: f64) {
        let before = self.rate.unwrap_or(rate);
        let gain = rate / before.max(1e-9);
        #[expect(clippy::cast_precision_loss, reason = "widths are small")]
        let ideal = tried as f64 / self.width as f64;
        let stays = if tried > self.width { gain >= GAIN_MIN.mul_add(ideal - 1.0, 1.0) } else { gain >= KEPT_MIN };
        if stays {
            // The same direction again, at once if it is up.
            self.narrower = tried < self.width;
            (self.width, self.rate, self.pause, self.doubts) = (tried, Some(rate), REST, 0);
            self.rest = if self.narrower { REST } else { 0 };
        } else if tried < self.width {
            self.narrower = false;
            self.tire();
        } else {
            self.doubt(tried, gain);
        }
    }

    /// A wider gate was not worth it. What was found to be worth it is not tried narrower because of one such try.
    fn doubt(&mut self, tried: usize, gain: f64) {
        let first = self.doubts == 0;
        self.doubts = self.doubts.saturating_add(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "widths are small"
        )]
        let shown = (self.width as f64 * gain.max(1.0)).ceil() as usize;
        if first && self.fresh {
            // While much else begins, too, a short window may show chance.
            self.rest = 1;
        } else if gain >= SHOWN_MIN && shown < tried {
            (self.fresh, self.trying) = (false, Some(shown));
        } else {
            self.narrower = !first;
            self.tire();
        }
    }

    fn tire(&mut self) {
        self.fresh = false;
        self.rest = self.pause;
        self.pause = (self.pause * 2).min(REST_MAX);
    }

    /// The width to try: twice as much while that was always worth it, then half as much again, or two thirds.
    fn next(&mut self) -> Option<usize> {
        let more = if self.fresh { self.width } else { self.width.div_ceil(2) };
        let (wider, narrower) = ((self.width + more).min(self.most), (self.width * 2 / 3).max(self.least));
        let (up, down) = (wider > self.width, narrower < self.width);
        match (self.narrower && down, up) {
            (true, _) => Some(narrower),
            (false, true) => Some(wider),
            (false, false) => down.then_some(narrower),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that serves each request in 100 ms, and no more than `at_once` at once.
    fn served(width: usize, at_once: usize) -> Window {
        Window { served: 10 * width.min(at_once) as u64, time: Duration::from_secs(1) }
    }

    fn after(windows: usize, at_once: usize) -> Growth {
        let mut growth = Growth::new(64, 512);
        (0..windows).for_each(|_| growth.ended(served(growth.width(), at_once)));
        growth
    }

    #[test]
    fn it_grows_while_more_is_served() {
        assert_eq!(after(5, 10_000).width, 512, "twice as much with each window");
        let bounded = after(200, 200);
        assert!((128..=256).contains(&bounded.width), "{bounded:?}");
    }

    #[test]
    fn it_stays_where_requests_only_take_longer() {
        for windows in [1, 10, 100] {
            let growth = after(windows, 20);
            assert_eq!(growth.width, 64, "{growth:?}");
        }
        let tried = (0..200).filter(|windows| after(*windows, 20).trying.is_some()).count();
        assert!(tried < 12, "it tries less and less often: {tried}");
    }

    #[test]
    fn a_try_that_may_be_chance_is_made_again_and_what_it_showed_next() {
        let mut growth = Growth::new(64, 512);
        growth.ended(served(64, 75));
        assert_eq!(growth.width(), 128);
        growth.ended(served(128, 75));
        assert_eq!((growth.width(), growth.is_fresh()), (64, true), "much else begins at the same time");
        growth.ended(served(64, 75));
        growth.ended(served(128, 75));
        assert_eq!((growth.width(), growth.width), (75, 64), "it served so much more");
        growth.ended(served(75, 75));
        assert_eq!(growth.width, 75);
        let narrower = |growth: &Growth| growth.trying.is_some_and(|tried| tried < growth.width);
        let tries = (0..20).map(|_| {
            growth.ended(served(growth.width(), 75));
            narrower(&growth)
        });
        let first = tries.collect::<Vec<_>>().iter().position(|narrower| *narrower);
        assert!(first.is_some_and(|first| first > 5), "a wider one was doubted twice before: {first:?}");
    }

    #[test]
    fn it_comes_back_if_the_store_has_less_room_than_before() {
        let mut growth = after(20, 10_000);
        assert_eq!(growth.width, 512);
        (0..600).for_each(|_| growth.ended(served(growth.width(), 70)));
        assert!(growth.width <= 152, "{growth:?}");
    }

    #[test]
    fn it_says_why_the_width_is_as_it_is() {
        assert_eq!(after(0, 10_000).why(), WhyAtOnce::Beginning);
        assert_eq!(after(1, 10_000).why(), WhyAtOnce::Growing);
        assert_eq!(after(3, 10_000).why(), WhyAtOnce::Most);
        let mut growth = after(2, 20);
        assert_eq!((growth.width(), growth.why()), (64, WhyAtOnce::Level));
        growth.throttled();
        (1..REST_MAX).for_each(|_| growth.ended(served(64, 20)));
        assert_eq!(growth.why(), WhyAtOnce::Throttled, "it rests because it was refused");
        growth.ended(served(64, 20));
        assert_eq!(growth.why(), WhyAtOnce::Growing);
        growth.ended(served(96, 20));
        assert_eq!(growth.why(), WhyAtOnce::Level, "more was tried since");
        let wide = after(4, 10_000);
        assert_eq!((wide.width(), wide.why()), (341, WhyAtOnce::TryingFewer));
    }

    #[test]
    fn what_a_store_refused_is_not_tried_soon_again() {
        let mut growth = after(3, 10_000);
        let width = growth.width;
        growth.throttled();
        (0..REST_MAX - 1).for_each(|_| growth.ended(served(growth.width(), 10_000)));
        assert_eq!((growth.width(), width), (width, growth.width));
        growth.ended(served(width, 10_000));
        assert!(growth.width() > width);
        growth.give_up();
        assert_eq!(growth.width(), width);
    }
}
