//! `Debug` for enum fields: the name of a value that is known, the number of one that is not.

use std::fmt::{Debug, Formatter, Result};
use std::marker::PhantomData;

/// The value of an enum field.
pub(crate) struct Value<E> {
    number: i32,
    of: PhantomData<E>,
}

/// The values of a repeated enum field.
pub(crate) struct Values<'a, E> {
    numbers: &'a [i32],
    of: PhantomData<E>,
}

impl<E> Value<E> {
    pub(crate) fn of(number: i32) -> Self {
        Self { number, of: PhantomData }
    }
}

impl<'a, E> Values<'a, E> {
    pub(crate) fn of(numbers: &'a [i32]) -> Self {
        Self { numbers, of: PhantomData }
    }
}

impl<E: TryFrom<i32> + Debug> Debug for Value<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match E::try_from(self.number) {
            Ok(known) => known.fmt(f),
            Err(_) => self.number.fmt(f),
        }
    }
}

impl<E: TryFrom<i32> + Debug> Debug for Values<'_, E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_list().entries(self.numbers.iter().map(|number| Value::<E>::of(*number))).finish()
    }
}
