//! Which variant gets a request that names none.

use std::sync::{Mutex, PoisonError};

/// Takes variants in turn, by their weights: of ten requests to the weights 9 and 1, the second variant gets one (*smooth weighted
/// round-robin*, as in nginx's `ngx_http_upstream_round_robin.c`). SageMaker takes them by chance.
#[derive(Debug)]
pub(crate) struct Router {
    weights: Vec<f64>,
    /// What each variant is owed. The sum is 0.
    owed: Mutex<Vec<f64>>,
}

impl Router {
    /// Weights are 0 or more, and finite.
    pub(crate) fn new(weights: Vec<f64>) -> Self {
        let owed = Mutex::new(vec![0.0; weights.len()]);
        Self { weights, owed }
    }

    /// The number of the variant for the next request. `None` if no variant has a weight. A variant that is alone needs none.
    pub(crate) fn next(&self) -> Option<usize> {
        if self.weights.len() == 1 {
            return Some(0);
        }
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        for (owed, weight) in owed.iter_mut().zip(&self.weights) {
            *owed += weight;
        }
        let weighted = self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(|(number, _)| number);
        // Of equal ones the first.
        let next = weighted.rev().max_by(|one, other| owed[*one].total_cmp(&owed[*other]))?;
        owed[next] -= self.weights.iter().sum::<f64>();
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[f64], requests: usize) -> Vec<Option<usize>> {
        let router = Router::new(weights.to_vec());
        (0..requests).map(|_| router.next()).collect()
    }

    #[test]
    fn each_variant_gets_its_share() {
        let shares = |weights: &[f64], requests| {
            let turns = turns(weights, requests);
            (0..weights.len())
                .map(|number| turns.iter().filter(|turn| **turn == Some(number)).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(shares(&[9.0, 1.0], 10), [9, 1]);
        assert_eq!(shares(&[0.5, 0.25, 0.25], 400), [200, 100, 100]);
        assert_eq!(shares(&[1.0, 0.0], 5), [5, 0]);
        assert_eq!(turns(&[2.0, 1.0], 3), [Some(0), Some(1), Some(0)], "they are mixed");
    }

    #[test]
    fn without_weights_only_a_variant_that_is_alone_gets_requests() {
        assert_eq!(turns(&[0.0], 2), [Some(0), Some(0)]);
        assert_eq!(turns(&[0.0, 0.0], 1), [None]);
    }
}
