//! The classes of a data set.

use std::borrow::Cow;
use std::collections::HashSet;

use indexmap::IndexMap;

/// The place of a class in [`Classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

/// One class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its number from 0, as Ground Truth counts: one less than COCO's category id or TFRecord's label. `None`: the format has
    /// names only.
    pub number: Option<i64>,
    /// Its name. `None`: the data set has used the number and not said the name.
    pub name: Option<String>,
}

/// The numbers that one data set gives to classes.
#[derive(Debug, Clone, Default)]
struct Numbering {
    classes: IndexMap<i64, ClassId>,
    /// The first class that this data set brought.
    first: u32,
}

/// The classes of a data set in the order in which they were met. Several data sets may share one table, each with
/// [numbers of its own](Classes::begin).
#[derive(Debug, Clone, Default)]
pub struct Classes {
    classes: Vec<Class>,
    /// One for each data set that was begun, in their order.
    numberings: Vec<Numbering>,
    /// The data set that is being read.
    place: usize,
    by_name: IndexMap<String, ClassId>,
    /// Classes in the order in which they got their names.
    named: Vec<ClassId>,
}

impl Classes {
    /// Begins the data set at this place of several, or begins it a second time. Until its numbers get names, they are those of
    /// earlier data sets. Where it gives a number to another class than they do, the name of the class counts.
    pub fn begin(&mut self, place: usize) {
        while self.numberings.len() <= place {
            let classes = self.iter().filter_map(|(id, class)| Some((class.number?, id))).collect();
            self.numberings.push(Numbering { classes, first: self.classes.len() as u32 });
        }
        self.place = place;
    }

    fn numbering(&mut self) -> &mut IndexMap<i64, ClassId> {
        if self.numberings.is_empty() {
            self.begin(0);
        }
        &mut self.numberings[self.place].classes
    }

    /// Whether the data set that is being read brought a class.
    fn is_own(&self, id: ClassId) -> bool {
        let first = |place: usize| self.numberings.get(place).map(|numbering| numbering.first);
        first(self.place).is_some_and(|first| first <= id.0) && first(self.place + 1).is_none_or(|next| id.0 < next)
    }

    fn push(&mut self, number: Option<i64>, name: Option<&str>) -> ClassId {
        let id = ClassId(self.classes.len() as u32);
        self.classes.push(Class { number, name: name.map(str::to_owned) });
        if let Some(name) = name {
            // Two numbers may have one name. The first keeps it.
            self.by_name.entry(name.to_owned()).or_insert(id);
            self.named.push(id);
        }
        id
    }

    /// The class of this number, which is added if it is new.
    pub fn of_number(&mut self, number: i64) -> ClassId {
        if let Some(id) = self.numbering().get(&number) {
            return *id;
        }
        let id = self.push(Some(number), None);
        self.numbering().insert(number, id);
        id
    }

    /// The class of this name, which is added without a number if it is new.
    pub fn of_name(&mut self, name: &str) -> ClassId {
        match self.by_name.get(name) {
            Some(id) => *id,
            None => self.push(None, Some(name)),
        }
    }

    /// Names the class of this number. A later name in the same data set replaces an earlier one, and the class keeps its place. A class
    /// of this name that has no number, or is of an earlier data set, is the same class.
    pub fn name(&mut self, number: i64, name: &str) -> ClassId {
        let known = self.numbering().get(&number).copied();
        let name_of = |id: ClassId| self.classes[id.0 as usize].name.as_deref();
        if let Some(id) = known
            && name_of(id) == Some(name)
        {
            return id;
        }
        match known {
            Some(id) if self.is_own(id) || name_of(id).is_none() => {
                self.rename(id, name);
                return id;
            }
            _ => {}
        }
        let same = self.find(name).filter(|id| self.classes[id.0 as usize].number.is_none() || !self.is_own(*id));
        // Another class may have the number, in an earlier data set.
        let free = known.is_none().then_some(number);
        let id = same.unwrap_or_else(|| self.push(free, Some(name)));
        let class = &mut self.classes[id.0 as usize];
        class.number = class.number.or(free);
        self.numbering().insert(number, id);
        id
    }

    fn rename(&mut self, id: ClassId, name: &str) {
        match self.classes[id.0 as usize].name.replace(name.to_owned()) {
            Some(known) if self.by_name.get(&known) == Some(&id) => drop(self.by_name.shift_remove(&known)),
            Some(_) => {}
            None => self.named.push(id),
        }
        self.by_name.entry(name.to_owned()).or_insert(id);
    }

    /// The class of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ClassId> {
        self.by_name.get(name).copied()
    }

    /// The class.
    #[must_use]
    pub fn get(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id.0 as usize)
    }

    /// The name of a class, or its number as text where it has none.
    #[must_use]
    pub fn shown(&self, id: ClassId) -> Cow<'_, str> {
        match self.get(id) {
            Some(Class { name: Some(name), .. }) => Cow::Borrowed(name),
            Some(Class { number: Some(number), .. }) => Cow::Owned(number.to_string()),
            _ => Cow::Owned(format!("class {}", id.0)),
        }
    }

    /// All classes, in the order in which they were met.
    pub fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.classes.iter().enumerate().map(|(index, class)| (ClassId(index as u32), class))
    }

    /// Classes with a name, in the order in which they got their names.
    pub fn named(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.named.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// How many classes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// A number from 0 for each class, in the order of their ids. Classes keep their numbers, all of them increased alike if one is
    /// negative. Classes without a number come after the others, in the order of their names.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        // Label maps have no larger ones, and sums stay exact.
        let known = |class: &Class| class.number.filter(|number| i32::try_from(*number).is_ok());
        let least = self.classes.iter().filter_map(known).min().unwrap_or(0).min(0);
        let mut numbers: Vec<i64> =
            self.classes.iter().map(|class| known(class).map_or(-1, |number| number - least)).collect();
        let first = numbers.iter().max().map_or(0, |most| most + 1);
        let mut others: Vec<usize> = (0..numbers.len()).filter(|index| numbers[*index] < 0).collect();
        others.sort_by_key(|index| (self.shown(ClassId(*index as u32)), *index));
        for (number, index) in (first..).zip(others) {
            numbers[index] = number;
        }
        numbers
    }

    /// All classes in the order of [`Classes::numbers`], in which people read them.
    #[must_use]
    pub fn in_order(&self) -> Vec<ClassId> {
        let mut order: Vec<(i64, ClassId)> = self.numbers().into_iter().zip(self.iter().map(|(id, _)| id)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// How many classes have another one of the [numbers](Classes::numbers) than a data set gave them.
    #[must_use]
    pub fn renumbered(&self) -> usize {
        let numbers = self.numbers();
        let given = self.numberings.iter().flat_map(|numbering| &numbering.classes);
        given.filter(|(number, id)| numbers[id.0 as usize] != **number).map(|(_, id)| *id).collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_name_replaces_an_earlier_one_in_its_place() {
        let mut classes = Classes::default();
        let third = classes.of_number(3);
        let first = classes.name(1, "b");
        classes.name(0, "a");
        assert_eq!(classes.name(1, "b two"), first);
        classes.name(3, "d");
        let named: Vec<_> = classes.named().map(|(_, class)| class.name.as_deref().unwrap()).collect();
        assert_eq!(named, ["b two", "a", "d"]);
        assert_eq!((classes.find("b"), classes.find("b two"), classes.find("d")), (None, Some(first), Some(third)));
        assert_eq!(classes.numbers(), [3, 1, 0]);
    }

    #[test]
    fn classes_without_numbers_are_counted_by_name() {
        let mut classes = Classes::default();
        for name in ["pug", "beagle", "pug", "cat"] {
            classes.of_name(name);
        }
        assert_eq!(classes.numbers(), [2, 0, 1]);
        assert_eq!(classes.in_order(), [ClassId(1), ClassId(2), ClassId(0)]);
        assert_eq!(classes.renumbered(), 0);
        classes.of_number(-1);
        assert_eq!((classes.numbers(), classes.renumbered()), (vec![3, 1, 2, 0], 1));
    }

    #[test]
    fn numbers_from_minus_one_keep_their_order() {
        // COCO's categories 0, 1 and 5.
        let mut classes = Classes::default();
        for (number, name) in [(-1, "person"), (0, "car"), (4, "bus")] {
            classes.name(number, name);
        }
        assert_eq!((classes.numbers(), classes.renumbered()), (vec![0, 1, 5], 3));
        classes.name(i64::MAX, "far");
        assert_eq!(classes.numbers(), [0, 1, 5, 6]);
    }

    #[test]
    fn data_sets_with_other_numbers_have_the_same_classes_by_name() {
        let mut classes = Classes::default();
        let read = |classes: &mut Classes| -> Vec<u32> {
            classes.begin(0);
            let mut ids = vec![classes.name(0, "cat"), classes.name(1, "dog")];
            classes.begin(1);
            ids.extend([classes.name(0, "dog"), classes.name(1, "cow"), classes.of_number(0), classes.of_number(1)]);
            // A number without a name in this data set is that of the earlier one.
            classes.begin(2);
            ids.extend([classes.of_number(0), classes.name(7, "bird")]);
            ids.into_iter().map(|id| id.0).collect()
        };
        assert_eq!(read(&mut classes), [0, 1, 1, 2, 1, 2, 0, 3]);
        assert_eq!(read(&mut classes), [0, 1, 1, 2, 1, 2, 0, 3], "a second time");
        // "dog" has the number 0 in the second data set, and "cow" had 1 there.
        assert_eq!((classes.numbers(), classes.renumbered()), (vec![0, 1, 8, 7], 2));
    }

    #[test]
    fn a_name_without_a_number_gets_one_later() {
        let mut classes = Classes::default();
        let cat = classes.of_name("cat");
        let dog = classes.of_name("dog");
        classes.begin(1);
        assert_eq!((classes.name(4, "dog"), classes.of_number(4)), (dog, dog));
        assert_eq!((classes.len(), classes.numbers()), (2, vec![5, 4]));
        assert_eq!(classes.find("cat"), Some(cat));
    }
}
