//! Medians and other quantiles.

use crate::launch::Sample;

/// The value below which a part of `values` lies, `part` from 0 to 1; not a number if there are none.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a position in a list of some dozens"
    )]
    let at = ((values.len() - 1) as f64 * part).round() as usize;
    values[at]
}

/// The median of one column.
pub fn median(samples: &[Sample], column: fn(&Sample) -> f64) -> f64 {
    quantile(samples.iter().map(column).collect(), 0.5)
}

/// The median of `above` to `below`, each pair measured one after the other, so that a busy moment falls on both.
pub fn ratio(above: &[Sample], below: &[Sample], column: fn(&Sample) -> f64) -> f64 {
    let pairs = above.iter().zip(below);
    quantile(pairs.map(|(above, below)| column(above) / column(below)).collect(), 0.5)
}
