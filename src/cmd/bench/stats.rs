//! Times and rates.

use std::time::Duration;

/// The value below which so many of a hundred samples lie.
pub(super) fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    let at = samples.len().saturating_sub(1) * percent / 100;
    samples.get(at).copied().unwrap_or_default()
}

/// The middle one, which a slow moment does not move.
pub(super) fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    let mut samples: Vec<f64> = samples.into_iter().collect();
    samples.sort_unstable_by(f64::total_cmp);
    let middle = samples.len() / 2;
    samples.get(middle).copied().unwrap_or(f64::NAN)
}

/// So many in such a time, a second.
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
