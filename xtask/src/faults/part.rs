//! A part of the cases, so that a whole run can be spread over nights or machines.

/// Which of how many parts, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    number: usize,
    count: usize,
}

impl Part {
    pub(super) const ALL: Self = Self { number: 1, count: 1 };

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) => Ok(Self { number, count }),
            _ => Err("it is K/N, with K from 1 to N: 3/40".into()),
        }
    }

    /// What is in this part.
    pub(super) fn of<T>(self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.number - 1).step_by(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_part() {
        for (count, cases) in [(1, 5), (3, 10), (7, 3)] {
            let mut all: Vec<u32> =
                (1..=count).flat_map(|number| Part { number, count }.of(0..cases)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..cases).collect::<Vec<_>>());
        }
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(Part::parse("3/40"), Ok(Part { number: 3, count: 40 }));
        for text in ["", "3", "0/4", "5/4", "1/0", "a/b", "1/2/3"] {
            assert!(Part::parse(text).is_err(), "{text}");
        }
    }
}
