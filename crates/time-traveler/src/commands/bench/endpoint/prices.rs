//! What an hour of an instance costs, as the user says.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context;

use crate::escape::Shown;

/// An instance type, and the price of an hour.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Price {
    /// Such as `ml.g4dn.xlarge`.
    pub(super) instance_type: String,
    /// In the user's currency.
    pub(super) an_hour: f64,
}

impl Price {
    /// The price of a thousand pictures that an endpoint of one instance answers one after the other.
    pub(super) fn of_thousand(&self, seconds_of_a_picture: f64) -> f64 {
        self.an_hour / 3600.0 * seconds_of_a_picture * 1000.0
    }

    fn of(instance_type: &str, price: &str) -> Option<Self> {
        let instance_type = instance_type.trim();
        let an_hour: f64 = price.trim().trim_start_matches('$').parse().ok()?;
        let is_price = an_hour.is_finite() && an_hour >= 0.0 && instance_type.starts_with("ml.");
        is_price.then(|| Self { instance_type: instance_type.to_owned(), an_hour })
    }
}

impl FromStr for Price {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=');
        parts.and_then(|(name, price)| Self::of(name, price)).ok_or("TYPE=PRICE works, such as ml.g4dn.xlarge=0.736")
    }
}

/// The prices of a CSV file: a line `TYPE,PRICE` for each instance type. A first line of titles and empty lines are passed over.
pub(super) fn list(file: &Path) -> anyhow::Result<Vec<Price>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.shown()))?;
    let mut prices = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let price = line.split_once(',').and_then(|(name, price)| Price::of(name, price));
        match price {
            Some(price) => prices.push(price),
            None if number == 1 || line.trim().is_empty() => {}
            None => {
                anyhow::bail!("{}, line {number}: {line:?} is no price: ml.g4dn.xlarge,0.736 would work", file.shown())
            }
        }
    }
    anyhow::ensure!(!prices.is_empty(), "{} has no price: lines such as ml.g4dn.xlarge,0.736 would work", file.shown());
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_pictures_cost_what_the_original_table_says() {
        for (text, seconds, expected) in
            [("ml.p2.xlarge=1.125", 0.607, "0.19"), ("ml.g4dn.xlarge=$0.736", 0.217, "0.04")]
        {
            let price: Price = text.parse().unwrap();
            assert_eq!(format!("{:.2}", price.of_thousand(seconds)), expected, "{text}");
        }
        for wrong in ["ml.m5.large", "=1", "m5.large=1", "ml.m5.large=-1", "ml.m5.large=cheap", "ml.m5.large=NaN"] {
            assert!(wrong.parse::<Price>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_type() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.csv");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            list(&file).map_err(|error| error.to_string())
        };
        let two = read("Instance Type,Cost per hour\nml.p2.xlarge, $1.125\n\nml.m5.large,0.115\n").unwrap();
        assert_eq!(two[0], Price { instance_type: "ml.p2.xlarge".to_owned(), an_hour: 1.125 });
        assert_eq!((two.len(), two[1].an_hour), (2, 0.115));
        let error = read("ml.p2.xlarge,1\nml.m5.large,cheap\n").unwrap_err();
        assert!(error.contains("prices.csv, line 2: \"ml.m5.large,cheap\" is no price"), "{error}");
        assert!(read("type,price\n").unwrap_err().contains("has no price"));
    }
}
