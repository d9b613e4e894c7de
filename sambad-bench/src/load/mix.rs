//! Which operations a run is made of.

use std::fmt;
use std::str::FromStr;

/// What a simulated user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// Somebody new logs in: `user_created`.
    Login,
    /// One user adds another: `contact_added`.
    Contact,
    /// One user writes to another: `message_sent`.
    Message,
}

impl OpKind {
    const ALL: [(Self, &'static str); 3] = [(Self::Login, "login"), (Self::Contact, "contact"), (Self::Message, "message")];
}

/// Shares of the operations, such as `login=1,contact=6,message=3`; what is not named has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix {
    weights: [u32; 3],
}

impl Default for Mix {
    /// New users alone.
    fn default() -> Self {
        Self { weights: [1, 0, 0] }
    }
}

/// A share's largest weight; far beyond any use, and sums stay small.
const WEIGHT_MAX: u32 = 1_000_000;

impl Mix {
    /// The kind for a number drawn evenly from all 64-bit numbers.
    pub(crate) fn pick(&self, drawn: u64) -> OpKind {
        let total: u64 = self.weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut rest = drawn % total;
        for ((kind, _), weight) in OpKind::ALL.iter().zip(self.weights) {
            if rest < u64::from(weight) {
                return *kind;
            }
            rest -= u64::from(weight);
        }
        OpKind::Login
    }

    /// The part of all operations that are of this kind, from 0 to 1.
    pub(crate) fn share(&self, kind: OpKind) -> f64 {
        let total: f64 = self.weights.iter().map(|weight| f64::from(*weight)).sum();
        let of_kind = OpKind::ALL.iter().zip(self.weights).find(|((other, _), _)| *other == kind);
        of_kind.map_or(0.0, |(_, weight)| f64::from(weight) / total)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected shares such as login=1,contact=6,message=3";
        let mut weights = [None; 3];
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(|| format!("{part:?} has no share: {EXPECTED}"))?;
            let index = OpKind::ALL.iter().position(|(_, known)| *known == name.trim());
            let index = index.ok_or_else(|| format!("there is no operation {:?}: {EXPECTED}", name.trim()))?;
            let weight: u32 = weight.trim().parse().ok().filter(|weight| *weight <= WEIGHT_MAX).ok_or_else(|| {
                format!("the share of {} is {:?}: expected a whole number from 0 to {WEIGHT_MAX}", name.trim(), weight.trim())
            })?;
            if weights[index].replace(weight).is_some() {
                return Err(format!("{} is named twice", name.trim()));
            }
        }
        let weights = weights.map(Option::unwrap_or_default);
        if weights.iter().all(|weight| *weight == 0) {
            return Err(format!("the shares sum to 0: {EXPECTED}"));
        }
        Ok(Self { weights })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ((_, name), weight) in OpKind::ALL.iter().zip(self.weights).filter(|(_, weight)| *weight > 0) {
            write!(f, "{separator}{name}={weight}")?;
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a mix says what is wrong with it. Method: good texts and what they mean, bad ones and a word of the answer.
    #[test]
    fn reads_shares() {
        for (text, shown) in
            [("login=1,contact=6,message=3", "login=1,contact=6,message=3"), (" message = 2 , login=0", "message=2")]
        {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), shown, "{text}");
        }
        for (text, word) in [
            ("", "no share"),
            ("contact", "no share"),
            ("contact=0,login=0", "sum to 0"),
            ("contact=-1", "whole number"),
            ("contact=1.5", "whole number"),
            ("contact=99999999999", "whole number"),
            ("contact=1,contact=2", "twice"),
            ("delete=1", "delete"),
        ] {
            let error = text.parse::<Mix>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    /// Goal: shares come out as asked. Method: every remainder once, and the parts.
    #[test]
    fn picks_by_share() {
        let mix: Mix = "login=1,contact=6,message=3".parse().unwrap();
        let of = |kind| (0..1000).filter(|drawn| mix.pick(*drawn) == kind).count();
        assert_eq!([of(OpKind::Login), of(OpKind::Contact), of(OpKind::Message)], [100, 600, 300]);
        assert!((mix.share(OpKind::Contact) - 0.6).abs() < 1e-9);
    }
}
