//! How likely is it that a share is above a bound, when so many failed and so many did not?
//!
//! The posterior of a share after failures and successes is a Beta distribution. Its quantiles are only
//! ever compared with one bound, which is the same as asking for its mass on one side: "the 5 % quantile
//! is above x" says "more than 95 % of the mass is above x". So no quantile is inverted here.

/// The probability that a share is above `x`, 0 to 1, under Beta(`a`, `b`); `a` and `b` above 0.
pub(super) fn above(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln();
    let front = ln_front.exp();
    // The fraction converges quickly on this side of the mean, and the other side is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) {
        1.0 - front * fraction(a, b, x) / a
    } else {
        front * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for step in 1..=200 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = c * d;
            result *= change;
        }
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    result
}

/// The logarithm of the gamma function for `x` above 0: Stirling's series (DLMF 5.11.1) above 8, and below
/// it what the recurrence leads there.
fn ln_gamma(mut x: f64) -> f64 {
    let mut factor = 1.0;
    while x < 8.0 {
        factor *= x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y / 1680.0))) / x;
    let half_ln_tau = 0.918_938_533_204_672_8;
    (x - 0.5) * x.ln() - x + half_ln_tau + series - f64::ln(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mass_above_a_bound() {
        // Closed forms: Beta(1, b) has (1 - x)^b above x, Beta(a, 1) has 1 - x^a; the rest by binomial sums.
        for (a, b, x, mass) in [
            (1.0, 1.0, 0.15, 0.85),
            (1.0, 9.0, 0.15, 0.85_f64.powi(9)),
            (7.0, 1.0, 0.9, 1.0 - 0.9_f64.powi(7)),
            (2.0, 3.0, 0.5, 0.312_5),
            (3.0, 3.0, 0.5, 0.5),
            (0.5, 0.5, 0.5, 0.5),
            (400.0, 400.0, 0.5, 0.5),
        ] {
            let found = above(a, b, x);
            assert!(
                (found - mass).abs() < 1e-9,
                "Beta({a}, {b}) above {x}: {found}"
            );
        }
    }

    #[test]
    fn more_failures_make_a_high_share_more_likely() {
        let masses: Vec<f64> = (0..20)
            .map(|failed| above(0.5 + f64::from(failed), 9.5, 0.15))
            .collect();
        assert!(
            masses.is_sorted() && masses[0] < 0.1 && masses[19] > 0.999,
            "{masses:?}"
        );
    }
}
